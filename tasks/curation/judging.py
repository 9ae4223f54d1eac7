"""The judging job (`JudgingJob`): derain a crop with every network, look for its background, score it, apply rules.

Results stay in the workspace until the run has recorded them, so an interrupted run resumes from there.
"""

from __future__ import annotations

import io
import json
import time
import zipfile
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infra.catalog.pool_zarr import CROP_SIDE, read_crops
from infra.catalog.pseudo_label_zarr import PseudoPixels
from infra.errors import STORAGE_ERRORS
from infra.failpoints import failpoint
from infra.limits import CurationLimits
from infra.storage.location import ObjectNotFound, open_location
from models.evaluation.probes import Derain, ProbeScore, probe
from models.images import to_floats, to_rgb
from models.pseudo_labels.layer_maps import FLOOR
from models.pseudo_labels.scores import confidence, layer_score
from models.pseudo_labels.texture_features import LabelledFeatures
from models.pseudo_labels.tta import mirrored_rain_layer
from tasks.curation.acceptance import AGREE, NOTHING_MEASURED, TEMPORAL, Refusal, Scores, refusal_of
from tasks.curation.neighbours import Neighbourhood, neighbouring_parts
from tasks.curation.temporal import NotRegistrable, TemporalBackground, TemporalLimits, temporal_background
from tasks.waves.loaded import StagedModel, loaded_engine
from tasks.waves.reading import SHARD_SECONDS
from tasks.waves.stage import Shard, ShardResult, Unfinished, halved

JUDGED_FOLDER = "pseudo/judged"
"""Folder of judged crops that are not recorded yet, relative to the workspace."""
KILLED = Refusal("the process that judges it dies each time")
PROBED_SIDE = 256
"""Height and width in pixels of the central part in which probes are planted, at most; this takes eight passes."""


@dataclass(frozen=True, slots=True)
class CropRef:
    """One crop of the pool and the neighbouring frames of the same camera."""

    key: str
    """Crop id."""
    zarr_group: str
    zarr_row: int
    height: int
    """Number of rows that are not padding by reflection."""
    width: int
    neighbourhood: Neighbourhood | None


@dataclass(frozen=True, slots=True)
class Judged:
    """The judgement of a crop: the rule, the scores, and the reason for refusal, if any."""

    crop_id: str
    rule: str
    scores: Scores
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class JudgingJob:
    """The state that all crops of a run share; sent with each task."""

    workspace: str
    run_id: str
    judgement: str
    teacher: StagedModel
    independent: tuple[StagedModel, ...]
    device: str
    tile_pixels: int
    max_pixels: int
    limits: CurationLimits
    labelled: LabelledFeatures

    def do(self, shard: Shard[CropRef]) -> ShardResult[Judged]:
        """Judge crops one after the other; reuse what an interrupted run has already judged."""
        started, until = time.thread_time(), time.monotonic() + SHARD_SECONDS
        judged, unfinished = [], []
        for number, crop in enumerate(shard.items):
            if number and time.monotonic() > until:
                break
            try:
                judged.append(_kept(self, crop) or _judge_and_keep(self, crop))
            except STORAGE_ERRORS as error:
                unfinished.append(Unfinished(crop.key, str(error)))
        left = len(shard.items) - len(judged) - len(unfinished)
        return ShardResult(tuple(judged), tuple(unfinished), time.thread_time() - started, left)

    def try_without_image(self) -> bool:
        """Derain a grey square with every network."""
        grey = torch.full((1, 3, 64, 64), 0.5)
        return all(_derain(self, model)(grey).shape == grey.shape for model in self._networks)

    def halves(self, shard: Shard[CropRef]) -> list[Shard[CropRef]]:
        """See `tasks.waves.stage.halved`."""
        return halved(shard)

    def killed(self, shard: Shard[CropRef]) -> ShardResult[Judged]:
        """Refuse a crop that kills every process that judges it."""
        refused = tuple(Judged(crop.key, AGREE, NOTHING_MEASURED, KILLED) for crop in shard.items)
        return ShardResult(refused, (), 0.0)

    @property
    def _networks(self) -> tuple[StagedModel, ...]:
        return self.teacher, *self.independent


def read_judged(workspace: str, judgement: str, crop_id: str) -> tuple[Judged, PseudoPixels] | None:
    """Read the stored judgement of a crop; None if there is none or it is incomplete."""
    try:
        data = open_location(f"{workspace}/{JUDGED_FOLDER}/{judgement}").fetch(f"{crop_id}.npz")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            judged = _judged_from(json.loads(file["judged"].tobytes()))
            pixels = PseudoPixels(file["pseudo_label"], file["confidence"])
    except (ObjectNotFound, TypeError, ValueError, KeyError, OSError, zipfile.BadZipFile):
        return None
    return judged, pixels


def _judged_from(stored: dict[str, Any]) -> Judged:
    refusal = stored["refusal"] and Refusal(**stored["refusal"])
    return Judged(**{**stored, "scores": Scores(**stored["scores"]), "refusal": refusal})


def _kept(job: JudgingJob, crop: CropRef) -> Judged | None:
    found = read_judged(job.workspace, job.judgement, crop.key)
    return None if found is None else found[0]


def _judge_and_keep(job: JudgingJob, crop: CropRef) -> Judged:
    rainy = read_crops(job.workspace, crop.zarr_group, np.array([crop.zarr_row]))[0]
    judged, pixels = judge(job, crop, rainy[: crop.height, : crop.width])
    packed = io.BytesIO()
    described = np.frombuffer(json.dumps(asdict(judged)).encode(), np.uint8)
    np.savez_compressed(
        packed,
        judged=described,
        pseudo_label=pixels.pseudo_label,
        confidence=pixels.confidence,
        allow_pickle=False,
    )
    location = open_location(f"{job.workspace}/{JUDGED_FOLDER}/{job.judgement}")
    location.put(f"{crop.key}.npz", packed.getvalue())
    failpoint("after-judged", crop.key)
    return judged


def judge(job: JudgingJob, crop: CropRef, rainy: np.ndarray) -> tuple[Judged, PseudoPixels]:
    """Judge the valid part of a crop, (H, W, 3) uint8; prefer an acceptable background to a network's output.

    Returns
    -------
    Judged, PseudoPixels
        The pixels are those of a whole crop, (512, 512, 3) and (512, 512), padded with zeros.
    """
    background = _background(job, crop, rainy)
    if background is not None:
        scores = _background_scores(job, rainy, background)
        refusal = refusal_of(TEMPORAL, scores, job.limits)
        if refusal is None:
            judged = Judged(crop.key, TEMPORAL, scores, None)
            return judged, _whole(background.background, background.confidence)
    return _by_networks(job, crop, rainy)


def _by_networks(job: JudgingJob, crop: CropRef, rainy: np.ndarray) -> tuple[Judged, PseudoPixels]:
    floats = to_floats(rainy)
    layer, *others = (mirrored_rain_layer(_derain(job, model), floats) for model in job._networks)
    sure = (255 * confidence(layer, others)).round().to(torch.uint8).numpy()
    derained = to_rgb(floats - layer)
    scores = Scores.of_networks(
        layer_score(floats, layer, others),
        _probes(job, crop, floats),
        _distance(derained, job),
        float(sure.mean()) / 255,
    )
    judged = Judged(crop.key, AGREE, scores, refusal_of(AGREE, scores, job.limits))
    return judged, _whole(derained, sure)


def _probes(job: JudgingJob, crop: CropRef, rainy: Tensor) -> ProbeScore:
    """Score planted probes in the middle of the crop; a crop always gets the same probes."""
    top, left = (max(0, (extent - PROBED_SIDE) // 2) for extent in rainy.shape[-2:])
    part = rainy[:, top : top + PROBED_SIDE, left : left + PROBED_SIDE]
    seed = int.from_bytes(sha256(crop.key.encode()).digest()[:4], "big")
    return probe(_derain(job, job.teacher), part, seed)


def _derain(job: JudgingJob, model: StagedModel) -> Derain:
    return loaded_engine(model, job.device, job.tile_pixels).derain_floats


def _background_scores(job: JudgingJob, rainy: np.ndarray, found: TemporalBackground) -> Scores:
    """Score a background by its static share; rain is what is brighter than the background there, beyond noise."""
    brighter = (rainy.astype(np.float32) - found.background).mean(axis=-1) / 255
    brighter *= brighter > FLOOR
    static = found.confidence / 255
    return Scores(
        score=float(static.mean()),
        rain_found=float((brighter * static).mean()),
        agreement=None,
        elongation=None,
        rain_recall=None,
        detail_kept=None,
        structure_leak=None,
        feature_distance=_distance(found.background, job),
        confident=float(static.mean()),
        frames=found.frames,
    )


def _background(job: JudgingJob, crop: CropRef, rainy: np.ndarray) -> TemporalBackground | None:
    if crop.neighbourhood is None or not job.limits.neighbours:
        return None
    parts = neighbouring_parts(crop.neighbourhood, job.max_pixels)
    try:
        return temporal_background(rainy, parts, TemporalLimits(least_frames=job.limits.frames))
    except NotRegistrable:
        return None


def _distance(derained: np.ndarray, job: JudgingJob) -> float:
    return job.labelled.distance(to_floats(derained))


def _whole(derained: np.ndarray, sure: np.ndarray) -> PseudoPixels:
    """Pad to a whole crop with zeros, so that the confidence of the padding is 0."""
    below, right = CROP_SIDE - derained.shape[0], CROP_SIDE - derained.shape[1]
    return PseudoPixels(
        np.pad(derained, ((0, below), (0, right), (0, 0))), np.pad(sure, ((0, below), (0, right)))
    )
