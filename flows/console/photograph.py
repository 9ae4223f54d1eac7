"""`derain photo.jpg [out.png]`, which derains one file into another, without a workspace."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flows.console.arguments import ArgumentRefused, OnePhotograph, paths_in_one_line
from flows.console.lines import announce, say
from flows.console.networks import model_url
from infra.errors import printable
from infra.settings import Settings, read_settings
from infra.storage.location import open_location
from tasks.codec import Export, ImageRejected, Picture, decode, encode, require_exportable
from tasks.readable import duration, percentage
from tasks.resolved_model import refuse_absent_device, resolve_at_once

VISIBLE_LEVELS = 4
"""Largest change of a pixel, in levels of 255, that the eye does not notice."""


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
    with paths_in_one_line(str(photograph.output)):
        _refuse_replacing(photograph.output, options)
    settings, export = read_settings(), Export(photograph.export, options.quality)
    refuse_absent_device(settings)
    announce(f"reading {printable(photograph.source.name)}")
    picture = _read(photograph.source, settings, export)
    announce("loading the network")
    resolved = resolve_at_once(settings, model)
    from models.opening import open_engine  # imports PyTorch only if it is used

    engine = open_engine(resolved.model_file, settings.device, resolved.label, settings.tile_pixels)
    height, width = picture.rgb.shape[:2]
    announce(f"deraining {height * width / 1e6:.1f} megapixels")
    derained = engine.derain(picture.rgb[None])[0]
    encoded, output = encode(derained, picture, export), photograph.output
    if options.keep_old and output.exists():
        say(f"the earlier one is now {printable(str(_put_aside(output)))}")
    open_location(str(output.parent)).put(output.name, encoded)
    say(f"{printable(str(output))}: {_removed(picture, derained)}, {duration(time.monotonic() - started)}")


def _refuse_replacing(output: Path, options: PhotographOptions) -> None:
    if output.is_dir():
        raise ArgumentRefused(f"{printable(str(output))} is a folder; give the output another name")
    if output.exists() and not (options.overwrite or options.keep_old):
        raise ArgumentRefused(
            f"{printable(str(output))} already exists; --overwrite replaces it, --keep-old renames it first"
        )


def _read(source: Path, settings: Settings, export: Export) -> Picture:
    data = open_location(str(source.parent)).fetch(source.name)
    try:
        picture = decode(data, settings.max_pixels)
        require_exportable(picture, export)
    except ImageRejected as rejected:
        raise ArgumentRefused(f"{printable(str(source))}: {rejected.reason}") from rejected
    return picture


def _put_aside(output: Path) -> Path:
    """Rename a file within its folder to keep it."""
    aside = output.with_name(f"{output.stem}-old-{datetime.now():%Y%m%dT%H%M%S}{output.suffix}")
    output.rename(aside)
    return aside


def _removed(picture: Picture, derained: npt.NDArray[np.uint8]) -> str:
    difference = np.maximum(picture.rgb, derained) - np.minimum(picture.rgb, derained)  # (H, W, 3) uint8
    share = float((difference.max(axis=2) > VISIBLE_LEVELS).mean())
    return f"rain removed from {percentage(share)} of the pixels"
