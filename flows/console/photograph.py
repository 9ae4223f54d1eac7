"""`derain photo.jpg [out.png]`, which derains one file into another, without a workspace."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from flows.console.arguments import ArgumentRefused, OnePhotograph
from flows.console.lines import announce, say
from flows.console.networks import model_url
from infra.errors import printable
from infra.settings import Settings, read_settings
from infra.storage.location import open_location
from tasks.codec import Export, ImageRejected, Picture, decode, encode, require_exportable
from tasks.readable import duration, percentage
from tasks.resolved_model import refuse_absent_device, resolve_at_once
from tasks.statistics import image_statistics


@dataclass(frozen=True, slots=True)
class PhotographOptions:
    """Options for deraining a photograph, and for handling an existing output."""

    model: str
    quality: int
    overwrite: bool
    keep_old: bool


def derain_photograph(photograph: OnePhotograph, options: PhotographOptions) -> None:
    """Derain a photograph; orientation, ICC profile and EXIF are preserved as in any run.

    Raises
    ------
    ArgumentRefused
        If the output exists and must not be replaced, or the photograph cannot be derained.
    """
    started = time.monotonic()
    model = model_url(options.model)
    _refuse_replacing(photograph.output, options)
    settings, export = read_settings(), Export(photograph.export, options.quality)
    refuse_absent_device(settings)
    announce(f"reading {printable(photograph.source.name)}")
    picture = _read(photograph.source, settings, export)
    announce("loading the network")
    derained = _derained(picture, model, settings)
    if options.keep_old and photograph.output.exists():
        say(f"the earlier one is now {printable(str(_put_aside(photograph.output)))}")
    output = photograph.output
    open_location(str(output.parent)).put(output.name, encode(derained, picture, export))
    say(f"{printable(str(output))}: {_removed(picture, derained)}, {duration(time.monotonic() - started)}")


def _refuse_replacing(output: Path, options: PhotographOptions) -> None:
    if output.is_dir():
        raise ArgumentRefused(f"{printable(str(output))}: is a folder; give the output another name")
    if output.exists() and not (options.overwrite or options.keep_old):
        raise ArgumentRefused(
            f"{printable(str(output))}: already exists; --overwrite replaces it, --keep-old renames it first"
        )


def _read(source: Path, settings: Settings, export: Export) -> Picture:
    data = open_location(str(source.parent)).fetch(source.name)
    try:
        picture = decode(data, settings.max_pixels)
        require_exportable(picture, export)
    except ImageRejected as rejected:
        raise ArgumentRefused(f"{printable(str(source))}: {rejected.reason}") from rejected
    return picture


def _derained(picture: Picture, model: str, settings: Settings) -> np.ndarray:
    resolved = resolve_at_once(settings, model)
    from models.engine import Engine, choose_device, fast_dtype  # imports PyTorch only if it is used
    from models.modelfile import build

    device = choose_device(settings.device)
    engine = Engine(
        build(resolved.model_file, resolved.label), device, fast_dtype(device), settings.tile_pixels
    )
    derained: np.ndarray = engine.derain(picture.rgb[None])[0]
    return derained


def _put_aside(output: Path) -> Path:
    """Rename a file within its folder to keep it."""
    aside = output.with_name(f"{output.stem}-old-{datetime.now():%Y%m%dT%H%M%S}{output.suffix}")
    output.rename(aside)
    return aside


def _removed(picture: Picture, derained: np.ndarray) -> str:
    statistics = image_statistics(picture.rgb, derained)
    share = min(statistics.rain_energy / max(statistics.brightness, 1e-6), 1.0)
    return f"rain removed: {percentage(share)} of the photograph's energy"
