"""Champion and challenger side by side on the photographs of a frozen manifest."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from infra.failpoints import failpoint
from infra.settings import Settings
from models.engine import Engine, TilingRefused, choose_device, fast_dtype
from models.evaluation.metrics import Image, luma, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from models.evaluation.niqe import niqe, read_pristine
from models.evaluation.probes import probe
from models.evaluation.validation import CLEAN_CEILING
from models.modelfile import build
from tasks.media.manifests import ManifestInvalid
from tasks.promotion.latency import latency_ratios
from tasks.promotion.validation_manifest import (
    VALIDATION,
    ValidationManifest,
    ValidationPhotograph,
    read_validation,
)
from tasks.promotion.validation_samples import make_validation
from tasks.resolved_model import ResolvedModel

ONLY_REPORTED = ("psnr_rgb", "ssim_rgb", "niqe")
"""Figures that decide nothing, on whatever photographs."""
TIMED = 3
"""Photographs that latency is measured on."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What a network makes of one photograph; None where its row does not tell.

    `psnr_y` and `psnr_rgb` are in dB, at most 60; `clean_change` in grey levels of Y by which the clean version is
    altered, on average; `rain_recall` and `detail_kept` as in `models.evaluation.probes`; `niqe` of derained real
    rain as in `models.evaluation.niqe`, lower is more natural, which decides nothing.
    """

    psnr_y: float | None = None
    ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    clean_change: float | None = None
    rain_recall: float | None = None
    detail_kept: float | None = None
    niqe: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One photograph of the manifest and the scores of both networks."""

    key: str
    scene: str
    champion: ImageScore
    challenger: ImageScore
    set: str = VALIDATION


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Two networks on one manifest."""

    champion: ResolvedModel
    challenger: ResolvedModel
    manifest: ValidationManifest
    photographs: tuple[Compared, ...]
    latency_ratios: npt.NDArray[np.float64]
    """Of each round; a single 1 for networks of the same sizes, which compute the same."""

    def differences(self, figure: str) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Return challenger - champion of every photograph that decides and has the figure, and its scene."""
        rows = self._with(figure, VALIDATION)
        values = [getattr(each.challenger, figure) - getattr(each.champion, figure) for each in rows]
        return np.array(values, np.float64), [each.scene for each in rows]

    def mean(self, figure: str, side: str, chosen: str = VALIDATION) -> float:
        """Return the mean of a figure of `champion` or `challenger` in a set."""
        return float(np.mean([getattr(getattr(each, side), figure) for each in self._with(figure, chosen)]))

    def reported(self) -> dict[str, float]:
        """Return the means that decide nothing, by name, `set/figure.side`."""
        sets = dict.fromkeys(each.set for each in self.photographs)
        chosen = [
            (each, figure) for each in sets for figure in ImageScore.__slots__ if self._with(figure, each)
        ]
        return {
            f"{each}/{figure}.{side}": self.mean(figure, side, each)
            for (each, figure), side in itertools.product(chosen, ("champion", "challenger"))
            if each != VALIDATION or figure in ONLY_REPORTED
        }

    def _with(self, figure: str, chosen: str) -> list[Compared]:
        """Return the photographs of a set that have a figure of both networks."""
        return [
            each
            for each in self.photographs
            if each.set == chosen
            and getattr(each.champion, figure) is not None
            and getattr(each.challenger, figure) is not None
        ]


def open_validation(settings: Settings) -> ValidationManifest:
    """Read the manifest of the settings, or else the small one, which is made first.

    Raises
    ------
    ManifestInvalid
        If it cannot be used, or has no pair at all.
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
        If a file of the manifest is not what it was; names it.
    """
    with _one_thread():
        engines = [engine_of(settings, model) for model in (champion, challenger)]
        bar = tqdm(manifest.photographs(), "evaluate", len(manifest.rows), unit="photo", disable=None)
        compared = [_compared(engines, photograph, manifest) for photograph in bar]
        same = engines[0].network.config == engines[1].network.config
        ratios = np.ones(1) if same else _latency(engines, manifest)
    return Evaluation(champion, challenger, manifest, tuple(compared), ratios)


def _compared(
    engines: Sequence[Engine], photograph: ValidationPhotograph, manifest: ValidationManifest
) -> Compared:
    row = photograph.row
    probes_pairs = row.decides and not manifest.has_real_rain
    try:
        champion, challenger = (_score(engine, photograph, probes_pairs) for engine in engines)
    except (ValueError, TilingRefused) as error:  # too small for a probe or a window of SSIM, or too large
        raise ManifestInvalid(f"{manifest.url}: {row.rainy}: {error}") from error
    failpoint("after-photograph", row.rainy)
    return Compared(row.rainy, row.scene, champion, challenger, row.set)


def _latency(engines: Sequence[Engine], manifest: ValidationManifest) -> npt.NDArray[np.float64]:
    timed = [each.rainy[None] for each in itertools.islice(manifest.photographs(), TIMED)]
    champion, challenger = (engine.derain for engine in engines)
    return latency_ratios(champion, challenger, timed)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute as the workers of derain-batch do, whose speed is in question: one thread a network."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def engine_of(settings: Settings, model: ResolvedModel) -> Engine:
    """Build the engine that both networks of a comparison run in."""
    device = choose_device(settings.device)
    network = build(model.model_file, model.name)
    return Engine(network, device, fast_dtype(device), settings.tile_pixels)


def _score(engine: Engine, photograph: ValidationPhotograph, probes_pairs: bool) -> ImageScore:
    """Score a photograph; probes are planted in real ones, or in the clean ones where there is none."""
    clean = photograph.clean
    if clean is None:
        natural = _niqe(engine.derain(photograph.rainy[None])[0])
        return ImageScore(niqe=natural, **_probes(engine, photograph.rainy))
    derained, kept = (engine.derain(pixels[None])[0] for pixels in (photograph.rainy, clean))
    return ImageScore(
        psnr_y=min(psnr_y(derained, clean), CLEAN_CEILING),
        ssim_y=ssim_y(derained, clean),
        psnr_rgb=min(psnr_rgb(derained, clean), CLEAN_CEILING),
        ssim_rgb=ssim_rgb(derained, clean),
        clean_change=float(np.abs(luma(kept) - luma(clean)).mean()),
        **(_probes(engine, clean) if probes_pairs else {}),
    )


def _niqe(derained: Image) -> float | None:
    """Score how natural a photograph looks; None for one that is too small for it, or flat."""
    try:
        return niqe(derained, read_pristine())
    except ValueError:
        return None


def _probes(engine: Engine, photograph: Image) -> dict[str, float]:
    floats = torch.from_numpy(photograph.copy()).permute(2, 0, 1).float() / 255
    # Other probes for another photograph, whatever it is called and whichever others are measured.
    seed = int.from_bytes(sha256(photograph.tobytes()).digest()[:4], "big")
    found = probe(_of_floats(engine), floats, seed)
    return {"rain_recall": found.rain_recall, "detail_kept": found.detail_kept}


def _of_floats(engine: Engine) -> Callable[[Tensor], Tensor]:
    """Let an engine derain floats (B, 3, H, W) as the 8-bit photographs that it writes."""

    def derain(rainy: Tensor) -> Tensor:
        pixels = rainy.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        return torch.from_numpy(engine.derain(pixels)).permute(0, 3, 1, 2).float() / 255

    return derain
