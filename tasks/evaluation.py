"""Champion and challenger side by side on the photographs of a frozen manifest."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor
from tqdm import tqdm

from infra.promotions import Gate
from infra.settings import Settings
from infra.storage import open_location
from infra.tracking import log_figures
from models.engine import Engine, TilingRefused, choose_device, fast_dtype
from models.metrics import Image, luma, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from models.modelfile import build
from models.probes import probe
from models.validation import CLEAN_CEILING
from tasks.latency import latency_ratios
from tasks.manifests import ManifestInvalid
from tasks.preflight import ChosenModel
from tasks.validation_manifest import ValidationManifest, ValidationPhotograph, read_validation
from tasks.validation_samples import make_validation

EXPERIMENT = "evaluation"
TIMED = 3
"""Photographs that latency is measured on."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What a network makes of one photograph; None where its row does not tell.

    `psnr_y` and `psnr_rgb` are in dB, at most 60; `clean_change` in grey levels of Y by which the clean version is
    altered, on average; `rain_recall` and `detail_kept` as in `models.probes`.
    """

    psnr_y: float | None = None
    ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    clean_change: float | None = None
    rain_recall: float | None = None
    detail_kept: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One photograph of the manifest and the scores of both networks."""

    key: str
    scene: str
    champion: ImageScore
    challenger: ImageScore


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Two networks on one manifest."""

    champion: ChosenModel
    challenger: ChosenModel
    manifest: ValidationManifest
    photographs: tuple[Compared, ...]
    latency_ratios: npt.NDArray[np.float64]
    """Of each round; a single 1 for networks of the same sizes, which compute the same."""

    def differences(self, figure: str) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Return challenger - champion of every photograph that has the figure, and its scene."""
        rows = [each for each in self.photographs if getattr(each.champion, figure) is not None]
        values = [getattr(each.challenger, figure) - getattr(each.champion, figure) for each in rows]
        return np.array(values, np.float64), [each.scene for each in rows]

    def mean(self, figure: str, side: str) -> float:
        """Return the mean of a figure of `champion` or `challenger`."""
        values = [getattr(getattr(each, side), figure) for each in self.photographs]
        return float(np.mean([value for value in values if value is not None]))


def open_validation(settings: Settings) -> ValidationManifest:
    """Read the manifest of the settings, or else the small one, which is made first.

    Raises
    ------
    ManifestInvalid
        If it cannot be used, or has no pair at all.
    """
    manifest = read_validation(settings.validation or make_validation(settings.workspace))
    if manifest.pairs == 0:
        raise ManifestInvalid(f"{manifest.url}: no row has a clean version")
    return manifest


def evaluate(
    settings: Settings, champion: ChosenModel, challenger: ChosenModel, manifest: ValidationManifest
) -> Evaluation:
    """Measure both networks on every photograph.

    Raises
    ------
    ManifestInvalid
        If a file of the manifest is not what it was; names it.
    """
    with _one_thread():
        engines = [_engine(settings, model) for model in (champion, challenger)]
        bar = tqdm(manifest.photographs(), "evaluate", len(manifest.rows), unit="photo", disable=None)
        compared = [_compared(engines, photograph, manifest) for photograph in bar]
        same = engines[0].network.config == engines[1].network.config
        ratios = np.ones(1) if same else _latency(engines, manifest)
    return Evaluation(champion, challenger, manifest, tuple(compared), ratios)


def _compared(
    engines: Sequence[Engine], photograph: ValidationPhotograph, manifest: ValidationManifest
) -> Compared:
    has_real = manifest.pairs < len(manifest.rows)
    try:
        champion, challenger = (_score(engine, photograph, has_real) for engine in engines)
    except (ValueError, TilingRefused) as error:  # too small for a probe or a window of SSIM, or too large
        raise ManifestInvalid(f"{manifest.url}: {photograph.row.rainy}: {error}") from error
    return Compared(photograph.row.rainy, photograph.row.scene, champion, challenger)


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


def write_table(evaluation: Evaluation, workspace: str, run_id: str) -> str:
    """Keep the figures by photograph and network as Parquet in the workspace; return the URL."""
    location = open_location(f"{workspace.rstrip('/')}/evaluations")
    rows = [
        {"key": each.key, "scene": each.scene, "role": role, "model": name, "digest": digest, **asdict(score)}
        for each, (role, model) in itertools.product(
            evaluation.photographs,
            (("champion", evaluation.champion), ("challenger", evaluation.challenger)),
        )
        for name, digest, score in [
            (f"{model.name}/{model.version}", model.model_file.digest, getattr(each, role))
        ]
    ]
    file = io.BytesIO()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(file)
    location.put(f"{run_id}.parquet", file.getvalue())
    return f"{location.url}/{run_id}.parquet"


def record(settings: Settings, evaluation: Evaluation, gates: tuple[Gate, ...], run_id: str) -> str:
    """Keep the table of figures in the workspace and all figures in MLflow; return the table's URL.

    Raises
    ------
    TrackingUnreachable
        If the tracking server does not answer.
    """
    url = write_table(evaluation, settings.workspace, run_id)
    parameters = {
        "champion": f"{evaluation.champion.name}/{evaluation.champion.version}",
        "champion_digest": evaluation.champion.model_file.digest,
        "challenger": f"{evaluation.challenger.name}/{evaluation.challenger.version}",
        "challenger_digest": evaluation.challenger.model_file.digest,
        "manifest": evaluation.manifest.url,
        "manifest_digest": evaluation.manifest.digest,
        "table": url,
    }
    bounds = ("champion", "challenger", "loss", "loss_lower", "loss_upper")
    metrics = {f"{gate.name}.{bound}": getattr(gate, bound) for gate in gates for bound in bounds}
    log_figures(settings, EXPERIMENT, run_id, parameters, metrics)
    return url


def _engine(settings: Settings, model: ChosenModel) -> Engine:
    device = choose_device(settings.device)
    network = build(model.model_file, model.name)
    return Engine(network, device, fast_dtype(device), settings.tile_pixels)


def _score(engine: Engine, photograph: ValidationPhotograph, has_real: bool) -> ImageScore:
    """Score a photograph; probes are planted in real ones, or in the clean ones where there is none."""
    clean = photograph.clean
    if clean is None:
        return ImageScore(**_probes(engine, photograph.rainy))
    derained, kept = (engine.derain(pixels[None])[0] for pixels in (photograph.rainy, clean))
    return ImageScore(
        psnr_y=min(psnr_y(derained, clean), CLEAN_CEILING),
        ssim_y=ssim_y(derained, clean),
        psnr_rgb=min(psnr_rgb(derained, clean), CLEAN_CEILING),
        ssim_rgb=ssim_rgb(derained, clean),
        clean_change=float(np.abs(luma(kept) - luma(clean)).mean()),
        **({} if has_real else _probes(engine, clean)),
    )


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
