"""Evaluation of champion and challenger on the photographs of a frozen manifest (`evaluate`)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import torch

from infra.failpoints import failpoint
from infra.settings import Settings
from models.engine import Engine, TilingRefused
from models.evaluation.metrics import luma, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from models.evaluation.niqe import niqe, read_pristine
from models.evaluation.probes import probe
from models.evaluation.validation import CLEAN_CEILING
from models.images import RgbImage, to_floats
from models.opening import open_engine
from tasks.counted import counted
from tasks.media.manifests import ManifestInvalid
from tasks.prefect_runs import run_log
from tasks.promotion.latency import latency_ratios
from tasks.promotion.scores import Compared, Evaluation, ImageScore, WorstPhotographs
from tasks.promotion.validation_manifest import (
    VALIDATION,
    ValidationManifest,
    ValidationPhotograph,
    read_validation,
)
from tasks.promotion.validation_samples import make_validation
from tasks.resolved_model import ResolvedModel

TIMED = 3
"""Number of photographs on which latency is measured."""


def open_validation(settings: Settings) -> ValidationManifest:
    """Read the manifest of the settings, or else that of the default set, which is made first.

    Raises
    ------
    ManifestInvalid
        If the manifest cannot be used, or has no pairs.
    """
    manifest = read_validation(settings.validation or make_validation(settings.workspace))
    if manifest.pairs == 0:
        raise ManifestInvalid(f"{manifest.url}: no row of the set {VALIDATION} has a clean version")
    return manifest


def evaluate(
    settings: Settings, champion: ResolvedModel, challenger: ResolvedModel, manifest: ValidationManifest
) -> Evaluation:
    """Measure both networks on every photograph.

    Raises
    ------
    ManifestInvalid
        If a file of the manifest has changed; the message names it.
    """
    run_log().info(
        f"comparing {challenger.label} with {champion.label} on {len(manifest.rows):,} photographs"
    )
    with _one_thread():
        engines = [
            open_engine(model.model_file, settings.device, model.name, settings.tile_pixels)
            for model in (champion, challenger)
        ]
        photographs = counted(manifest.photographs(), "evaluating", "photograph", len(manifest.rows))
        worst = WorstPhotographs()
        probed = _probed(manifest, settings.gates.min_scenes)
        compared = [
            _compared(engines, photograph, photograph.row.rainy in probed, manifest.url, worst)
            for photograph in photographs
        ]
        same = engines[0].network.config == engines[1].network.config
        ratios = np.ones(1) if same else _latency(engines, manifest)
    return Evaluation(champion, challenger, manifest, tuple(compared), ratios, tuple(worst.shown))


def _probed(manifest: ValidationManifest, least: int) -> set[str]:
    """Return the rainy photographs, by key, for which probes are planted.

    These are all photographs of real rain if those that decide have enough scenes for a decision. Otherwise it is
    one pair per scene, because probes take most of the time, and those of real rain that are only reported.
    """
    if manifest.has_real_rain(least):
        return {row.rainy for row in manifest.rows if not row.is_pair}
    first: dict[str, str] = {}
    for row in manifest.rows:
        if row.decides and row.is_pair:
            first.setdefault(row.scene, row.rainy)
    return set(first.values()) | {row.rainy for row in manifest.rows if not row.is_pair and not row.decides}


def _compared(
    engines: Sequence[Engine],
    photograph: ValidationPhotograph,
    is_probed: bool,
    url: str,
    worst: WorstPhotographs,
) -> Compared:
    row = photograph.row
    try:
        derained = [engine.derain(photograph.rainy[None])[0] for engine in engines]  # (H, W, 3) each
        champion, challenger = (
            _score(engine, photograph, pixels, is_probed)
            for engine, pixels in zip(engines, derained, strict=True)
        )
    except (ValueError, TilingRefused) as error:  # too small for a probe or a window of SSIM, or too large
        raise ManifestInvalid(f"{url}: {row.rainy}: {error}") from error
    failpoint("after-photograph", row.rainy)
    compared = Compared(row.rainy, row.scene, champion, challenger, row.set)
    worst.offer(compared, photograph, derained)
    return compared


def _latency(engines: Sequence[Engine], manifest: ValidationManifest) -> npt.NDArray[np.float64]:
    run_log().info("measuring the latency of both networks")
    timed = [each.rainy[None] for each in itertools.islice(manifest.photographs(), TIMED)]
    champion, challenger = (engine.derain for engine in engines)
    return latency_ratios(champion, challenger, timed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread per network, as the workers of derain-batch do."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _score(
    engine: Engine, photograph: ValidationPhotograph, derained: RgbImage, is_probed: bool
) -> ImageScore:
    """Score a photograph; probes are planted in its clean version, or in real rain, which has none."""
    clean = photograph.clean
    if clean is None:
        probes = _probes(engine, photograph.rainy) if is_probed else {}
        return ImageScore(niqe=_niqe(derained), **probes)
    kept = engine.derain(clean[None])[0]
    return ImageScore(
        psnr_y=min(psnr_y(derained, clean), CLEAN_CEILING),
        ssim_y=ssim_y(derained, clean),
        psnr_rgb=min(psnr_rgb(derained, clean), CLEAN_CEILING),
        ssim_rgb=ssim_rgb(derained, clean),
        clean_change=float(np.abs(luma(kept) - luma(clean)).mean()),
        **(_probes(engine, clean) if is_probed else {}),
    )


def _niqe(derained: RgbImage) -> float | None:
    """Return the NIQE score of a photograph; None if it is too small or flat."""
    try:
        return niqe(derained, read_pristine())
    except ValueError:
        return None


def _probes(engine: Engine, photograph: RgbImage) -> dict[str, float]:
    floats = to_floats(photograph)
    # The probes depend only on the photograph, not on its name or on other photographs.
    seed = int.from_bytes(sha256(photograph.tobytes()).digest()[:4], "big")
    found = probe(engine.derain_floats, floats, seed)
    return {"rain_recall": found.rain_recall, "detail_kept": found.detail_kept}
