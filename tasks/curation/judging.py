"""The judging job (`JudgingJob`): derains a crop with every network, estimates its background, scores and rules.

A shard of judged crops is written to the workspace as a whole; see `tasks.curation.judged_shards`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from infra.catalog.pool_zarr import CROP_SIDE, read_crops
from infra.catalog.pseudo_label_zarr import PseudoPixels
from infra.errors import STORAGE_ERRORS
from infra.limits import CurationLimits
from models.evaluation.probes import Derain, ProbeScore, probe
from models.images import to_floats, to_rgb
from models.pseudo_labels.layer_maps import FLOOR
from models.pseudo_labels.scores import confidence, layer_score
from models.pseudo_labels.texture_features import LabelledFeatures
from models.pseudo_labels.tta import mirrored_rain_layer
from tasks.curation.acceptance import AGREE, NOTHING_MEASURED, TEMPORAL, Rejection, Scores, rejection_of
from tasks.curation.judged_shards import Judged, JudgedCrop, store
from tasks.curation.neighbours import Neighbourhood, neighbouring_parts
from tasks.curation.temporal import NotRegistrable, TemporalBackground, temporal_background
from tasks.waves.stage import Shard, ShardResult
from tasks.workers.loaded import StagedModel, loaded_engine
from tasks.workers.reading import SHARD_SECONDS
from tasks.workers.unfinished import Unfinished, unforeseen

KILLED = Rejection("the process that judges it dies each time")
PROBED_SIDE = 256
"""Maximum height and width in pixels of the central part in which probes are planted; this takes eight passes."""


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
    is_requested: bool
    """Whether a reviewer accepted the crop, so that its pixels are kept whatever the rules say."""


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
    is_divisible: bool = True

    def do(self, shard: Shard[CropRef]) -> ShardResult[Judged]:
        """Judge crops one after the other, and write them as one shard."""
        started, until = time.thread_time(), time.monotonic() + SHARD_SECONDS
        judged: list[JudgedCrop] = []
        unfinished: list[Unfinished] = []
        for number, crop in enumerate(shard.items):
            if number and time.monotonic() > until:
                break
            try:
                judged.append(_judged(self, crop))
            except STORAGE_ERRORS as error:
                unfinished.append(Unfinished(crop.key, str(error)))
            except Exception as error:  # noqa: BLE001 - see unforeseen
                unfinished.append(unforeseen(crop.key, error))
        left = len(shard.items) - len(judged) - len(unfinished)
        stored, lost = self._stored(judged)
        return ShardResult(tuple(stored), (*unfinished, *lost), time.thread_time() - started, left)

    def _stored(self, crops: Sequence[JudgedCrop]) -> tuple[list[Judged], list[Unfinished]]:
        """Write a shard; return the stored judgements, or all crops as unfinished if storage failed."""
        if not crops:
            return [], []
        try:
            return store(self.workspace, self.run_id, self.judgement, crops), []
        except STORAGE_ERRORS as error:
            return [], [Unfinished(crop.judged.crop_id, str(error)) for crop in crops]

    def try_without_image(self) -> bool:
        """Derain a grey square with every network."""
        grey = torch.full((1, 3, 64, 64), 0.5)
        return all(_derain(self, model)(grey).shape == grey.shape for model in self._networks)

    def killed(self, shard: Shard[CropRef]) -> ShardResult[Judged]:
        """Reject a crop that kills every process that judges it."""
        rejected = tuple(Judged(crop.key, AGREE, NOTHING_MEASURED, KILLED) for crop in shard.items)
        return ShardResult(rejected, (), 0.0)

    @property
    def _networks(self) -> tuple[StagedModel, ...]:
        return self.teacher, *self.independent


def _judged(job: JudgingJob, crop: CropRef) -> JudgedCrop:
    padded = read_crops(job.workspace, crop.zarr_group, np.array([crop.zarr_row]))[0]
    rainy = padded[: crop.height, : crop.width]
    return JudgedCrop(*judge(job, crop, rainy), rainy, crop.is_requested)


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
        rejection = rejection_of(TEMPORAL, scores, job.limits)
        if rejection is None:
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
    judged = Judged(crop.key, AGREE, scores, rejection_of(AGREE, scores, job.limits))
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
    """Score a background by its static share; pixels that are brighter than it, beyond noise, count as rain."""
    brighter = (rainy.astype(np.float32) - found.background).mean(axis=-1) / 255
    brighter *= brighter > FLOOR
    static = found.confidence / 255
    return Scores(
        score=float(static.mean()),
        rain_found=float((brighter * static).mean()),
        feature_distance=_distance(found.background, job),
        confident=float(static.mean()),
        frames=found.frames,
    )


def _background(job: JudgingJob, crop: CropRef, rainy: np.ndarray) -> TemporalBackground | None:
    if crop.neighbourhood is None or not job.limits.neighbours:
        return None
    parts = neighbouring_parts(crop.neighbourhood, job.max_pixels)
    try:
        return temporal_background(rainy, parts, job.limits.frames)
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
