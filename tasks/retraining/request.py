"""The request of a retraining, and its checks (`prepare_retraining`) before the steps run for hours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infra.catalog.pool import Pool
from infra.settings import Settings
from infra.storage.lease import check_workspace
from infra.tracking.registry import CHAMPION_URL
from tasks.curation.decisions import fetch_decisions
from tasks.promotion.evaluation import open_validation
from tasks.promotion.overlap import refuse_training
from tasks.resolved_model import resolve_model
from tasks.retraining.presets import sizes_of
from tasks.training.folder import folder_named, read_folder, refuse_incomplete


class NothingNew(Exception):
    """Raised if there is nothing to learn from: no crop of the pool is for training, or all were used already."""


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Parameters of the flow, as given or completed with default data."""

    preset: str
    data: str
    """Folder of labelled data; empty: the data that `smoke` generates."""
    decisions: str | None
    anew: bool


def refuse_at_once(settings: Settings, request: RetrainRequest) -> None:
    """Make those checks of a retraining that take seconds.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    NothingNew
        If the pool has no crop for training; the run then completes without doing anything.
    """
    sizes_of(request.preset)
    check_workspace(settings.workspace)
    _refuse_no_crops(settings)
    data = _data(settings, request)
    if data:
        refuse_incomplete(Path(data))
    if request.decisions is not None:
        fetch_decisions(request.decisions)


def prepare_retraining(settings: Settings, request: RetrainRequest) -> RetrainRequest:
    """Check quickly what the steps need; return the request completed with its data.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        Or another of `tasks.refusals.REFUSALS`, with a message of one line. Nothing has been trained.
    NothingNew
        If the pool has no crop for training.
    """
    sizes_of(request.preset)
    _refuse_no_crops(settings)
    request = replace(request, data=_data(settings, request))
    resolve_model(settings, CHAMPION_URL)  # the first run registers it
    open_validation(settings)
    return request


def refuse_unfit_data(settings: Settings, request: RetrainRequest) -> None:
    """Read all labelled and validation data, which takes a while, and refuse unreadable files and overlaps.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        With a message of one line.
    """
    if request.data:
        read_folder(Path(request.data))
        refuse_training(open_validation(settings), f"{request.data}/clean")


def _refuse_no_crops(settings: Settings) -> None:
    pool = Pool(settings.workspace)
    if pool.count(split="train"):
        return
    crops = pool.count()
    if not crops:
        raise NothingNew(
            f"nothing to learn from: the pool of {settings.workspace} is empty;"
            " python -m flows.ingest --source ... fills it"
        )
    raise NothingNew(
        f"nothing to learn from: the pool of {settings.workspace} has {crops} crops in the split validation and"
        " none in train: ingest photographs of more cameras or days (DERAIN_INGEST__GROUP_PATTERN separates them)"
    )


def _data(settings: Settings, request: RetrainRequest) -> str:
    if request.preset == "smoke" and not (request.data or settings.training):
        return ""
    return str(folder_named(settings, request.data, request.preset))
