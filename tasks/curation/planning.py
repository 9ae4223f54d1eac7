"""The plan of a curation (`make_plan`): all inputs are read and checked before anything is changed."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from torch import Tensor

from infra.catalog.pool import Pool
from infra.dask.shared_folders import refuse_unshared_folders
from infra.settings import Settings, absolute_url
from infra.storage.lease import check_workspace
from infra.storage.location import Location, open_location
from models.images import to_floats
from models.pseudo_labels.texture_features import LEAST_PHOTOGRAPHS, LabelledFeatures, fit_features
from models.shipped import WEIGHTS
from tasks.codec import ImageRejected, decode
from tasks.curation.decisions import Decision, read_decisions
from tasks.media.samples import PHOTOGRAPHS, photograph
from tasks.media.sources import Selection
from tasks.refusals import PreflightFailed
from tasks.resolved_model import ResolvedModel, refuse_absent_device, resolve_model

INDEPENDENT = ("drd-net-slim", "student-small")
"""Shipped networks that are used if the request names none."""
JUDGING_VERSION = 1
"""Version of the scores; increase it when their meaning changes, so that everything is judged again."""
MOST_LABELLED = 200
LABELLED_SIDE = 256
"""Side in pixels of the squares in which labelled photographs are measured."""


@dataclass(frozen=True, slots=True)
class CurationRequest:
    """The options of a curation."""

    run_id: str
    teacher: str
    independent: tuple[str, ...] | None
    """None: the shipped networks."""
    labelled: str | None
    """Folder of clean photographs; None: the photographs of scikit-image."""
    decisions: str | None
    limit: int | None = None
    """Largest number of new crops to judge; None: all."""


@dataclass(frozen=True, slots=True)
class CurationPlan:
    """A checked curation that is ready to start."""

    crops: pl.DataFrame
    """The pool's training crops."""
    teacher: ResolvedModel
    independent: tuple[ResolvedModel, ...]
    labelled: LabelledFeatures
    decisions: tuple[Decision, ...]
    judgement: str
    """Digest of everything that the scores depend on."""

    @property
    def teachers(self) -> str:
        """Digests of all networks, the judged network first."""
        return ",".join(model.model_file.digest for model in (self.teacher, *self.independent))


def refuse_at_once(settings: Settings, request: CurationRequest) -> None:
    """Make those checks of `make_plan` that take seconds.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    if settings.cluster is None:
        refuse_absent_device(settings)
    check_workspace(settings.workspace)
    _decisions(request, _crops(settings))
    for model in (request.teacher, *(request.independent or ())):
        resolve_model(settings, model)
    if request.labelled is not None:
        open_location(absolute_url(request.labelled)).check(writable=False)


def make_plan(settings: Settings, request: CurationRequest) -> CurationPlan:
    """Read and check everything that a curation needs.

    Raises
    ------
    PreflightFailed, DecisionsInvalid
        Or another of `tasks.refusals.REFUSALS`, with a message of one line. Nothing is changed.
    """
    if settings.cluster is None:
        refuse_absent_device(settings)
    refuse_unshared_folders(settings, read=[], written=[settings.workspace])
    check_workspace(settings.workspace)
    crops = _crops(settings)
    decisions = _decisions(request, crops)
    teacher = resolve_model(settings, request.teacher)
    independent = _independent(settings, request, teacher)
    labelled = _features(request.labelled, settings.max_pixels)
    models = [model.model_file.digest for model in (teacher, *independent)]
    return CurationPlan(
        crops, teacher, independent, labelled, tuple(decisions), judgement_digest(settings, models, labelled)
    )


def _crops(settings: Settings) -> pl.DataFrame:
    pool = Pool(settings.workspace)
    crops = pool.crops("train")
    if crops.is_empty():
        raise PreflightFailed(
            f"{pool.url}: the pool has no training crops; fill it with"
            " 'python -m flows.ingest --source ...' first"
        )
    return crops


def _decisions(request: CurationRequest, crops: pl.DataFrame) -> list[Decision]:
    return [] if request.decisions is None else read_decisions(request.decisions, set(crops["crop_id"]))


def _independent(
    settings: Settings, request: CurationRequest, teacher: ResolvedModel
) -> tuple[ResolvedModel, ...]:
    """Return the independent networks; the judged network under another name gives no independent evidence."""
    shipped = tuple(str(WEIGHTS / f"{name}.safetensors") for name in INDEPENDENT)
    urls = shipped if request.independent is None else request.independent
    chosen = {model.model_file.digest: model for model in (resolve_model(settings, url) for url in urls)}
    chosen.pop(teacher.model_file.digest, None)
    if not chosen:
        raise PreflightFailed(
            f"{request.teacher} would be judged by itself alone: name at least one other network with"
            " --independent"
        )
    return tuple(chosen.values())


@functools.lru_cache(maxsize=2)
def _features(folder: str | None, max_pixels: int) -> LabelledFeatures:
    return fit_features(_labelled(folder, max_pixels))


def _labelled(folder: str | None, max_pixels: int) -> list[Tensor]:
    """Cut labelled photographs into squares, (3, H, W) floats."""
    if folder is None:
        pictures: Sequence[np.ndarray] = [photograph(name) for name in PHOTOGRAPHS]
    else:
        pictures = _photographs(absolute_url(folder), max_pixels)
    squares = [square for picture in pictures for square in _squares(picture)]
    if len(squares) < LEAST_PHOTOGRAPHS:
        raise PreflightFailed(
            f"{folder}: {len(squares)} squares of labelled photographs; {LEAST_PHOTOGRAPHS} are needed"
        )
    return [to_floats(square) for square in squares]


def _photographs(folder: str, max_pixels: int) -> list[np.ndarray]:
    location, wanted = open_location(folder), Selection().predicate()
    location.check(writable=False)
    keys = sorted(ref.key for ref in location.list() if wanted(ref.key))[:MOST_LABELLED]
    return [_decoded(location, key, max_pixels) for key in keys]


def _decoded(location: Location, key: str, max_pixels: int) -> np.ndarray:
    try:
        return decode(location.fetch(key), max_pixels).rgb
    except ImageRejected as error:
        raise PreflightFailed(
            f"{location.url}/{key}: a labelled photograph cannot be read ({error})"
        ) from error


def _squares(picture: np.ndarray) -> list[np.ndarray]:
    rows, columns = (
        [*range(0, extent - LABELLED_SIDE + 1, LABELLED_SIDE)] or [0] for extent in picture.shape[:2]
    )
    return [
        picture[top : top + LABELLED_SIDE, left : left + LABELLED_SIDE] for top in rows for left in columns
    ]


def judgement_digest(settings: Settings, models: Sequence[str], labelled: LabelledFeatures) -> str:
    """Digest everything that scores and rules depend on; crops with the same judgement are not judged again.

    `scales` was a limit of version 0.1.0. It stays in the digest, so that crops judged by that version stay judged.
    """
    facts = json.dumps(
        {
            "version": JUDGING_VERSION,
            "models": list(models),
            "limits": settings.curation.model_dump(exclude={"task_crops"}) | {"scales": [1.0]},
            "labelled": [round(value, 2) for value in labelled.mean.tolist()],
        },
        sort_keys=True,
    )
    return hashlib.sha256(facts.encode()).hexdigest()[:16]
