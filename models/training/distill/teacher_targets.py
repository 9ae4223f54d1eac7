"""Cached teacher targets (`TeacherTargets`): unlabelled rainy photographs and a teacher's derained versions.

The teacher derains each whole photograph once, before the training: it sees more than a crop shows, and a
self-ensemble costs nothing per step.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from models.images import RgbImage, to_rgb
from models.rain.banks import Bank, bank_of, sample
from models.rain.crop_grids import crop_grid
from models.rng import SampleRng
from models.training.distill.teachers import Teacher

Item = TypeVar("Item")
MOST_PHOTOGRAPHS = 500
LARGEST_SIDE = 1024
"""Largest side in pixels; larger photographs are cropped to their centre, because they are kept in memory."""
TEACHER_TARGET_SEED = 7_000_000
"""Added to the seed, so that these crops are drawn independently of the labelled ones."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class TeacherTargets:
    """Unlabelled photographs and the teacher's versions of them, in the same order and of the same sizes."""

    rainy: Bank
    derained: Bank

    def to(self, device: torch.device) -> TeacherTargets:
        """Move both banks to a device."""
        return TeacherTargets(self.rainy.to(device), self.derained.to(device))

    def crops(self, rng: SampleRng, size: int) -> tuple[Tensor, Tensor]:
        """Draw square crops at full scale, some mirrored: rainy and derained, (B, 3, size, size) each."""
        index = rng.integer(len(self.rainy))
        scale = torch.ones(rng.batch, device=rng.device)
        grid = crop_grid(rng, self.rainy, index, scale, size)
        return sample(self.rainy, index, grid), sample(self.derained, index, grid)


def read_photographs(folder: Path) -> list[RgbImage]:
    """Read the photographs of a folder and its sub-folders in order of name, cropped by `trimmed`.

    Raises
    ------
    FileNotFoundError
        If there are none; the message names the folder.
    ValueError
        If one cannot be read; the message names it.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder}: no photographs there ({', '.join(SUFFIXES)})")
    return [trimmed(_read(path)) for path in evenly(paths, MOST_PHOTOGRAPHS)]


def _read(path: Path) -> RgbImage:
    try:
        with Image.open(path) as image:
            return np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a photograph ({error})") from error


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most `most` items, evenly spaced."""
    count = min(most, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def trimmed(photograph: RgbImage) -> RgbImage:
    """Crop a photograph to its centre, at most `LARGEST_SIDE` high and wide."""
    top, left = (max(0, extent - LARGEST_SIDE) // 2 for extent in photograph.shape[:2])
    return photograph[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]


def digest_of(photographs: Sequence[RgbImage]) -> str:
    """Return the SHA-256 over sizes and pixels, by which sets of photographs are compared."""
    digest = sha256()
    for photograph in photographs:
        digest.update(repr(photograph.shape).encode())
        digest.update(np.ascontiguousarray(photograph).tobytes())
    return digest.hexdigest()


def cache_teacher_targets(
    fabric: Fabric, teacher: Teacher, photographs: Sequence[RgbImage], memory: Path
) -> TeacherTargets:
    """Derain photographs with a teacher, or read the results from the cache.

    Parameters
    ----------
    fabric : Fabric
        Provides precision and device; if there are several processes, each writes the same file.
    teacher : Teacher
        Teacher on that device.
    photographs : sequence of ndarray
        Unlabelled photographs, (H, W, 3) uint8 each.
    memory : Path
        Folder for the cache files, whose names depend on the teacher and the photographs.
    """
    rainy = [torch.from_numpy(photograph.copy()) for photograph in photographs]
    identity = f"{teacher.digest} {teacher.views} {digest_of(photographs)}"
    path = memory / f"lessons-{sha256(identity.encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        cached = load_file(path)
        derained = [cached[f"{number:06d}"] for number in range(len(rainy))]
    else:
        bar = tqdm(rainy, desc=f"teacher targets of {teacher.name}", unit="photo", mininterval=5)
        derained = [_derained(fabric, teacher, picture) for picture in bar]
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        memory.mkdir(parents=True, exist_ok=True)
        save_file({f"{number:06d}": picture for number, picture in enumerate(derained)}, partial)
        partial.replace(path)
    return TeacherTargets(bank_of(rainy), bank_of(derained)).to(fabric.device)


def _derained(fabric: Fabric, teacher: Teacher, picture: Tensor) -> Tensor:
    rainy = picture.to(fabric.device).permute(2, 0, 1)[None].float() / 255
    with fabric.autocast():
        return torch.from_numpy(to_rgb(teacher.derain(rainy)[0]))
