"""Lessons: unlabelled rainy photographs, what a teacher makes of them, and crops of both.

The teacher derains each whole photograph once, before the training: it sees more of it than a crop shows, and a
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

Thing = TypeVar("Thing")
"""(H, W, 3) uint8, RGB."""
MOST_PHOTOGRAPHS = 500
LARGEST_SIDE = 1024
"""Largest side; larger photographs are cropped to their centre, because they are held in memory at full scale."""
TEACHER_TARGET_SEED = 7_000_000
"""Keeps the numbers of these crops apart from those of labelled ones."""
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class TeacherTargets:
    """Unlabelled photographs and the teacher's versions of them, in the same order and of the same sizes."""

    rainy: Bank
    derained: Bank

    def to(self, device: torch.device) -> TeacherTargets:
        """Move both to a device."""
        return TeacherTargets(self.rainy.to(device), self.derained.to(device))

    def crops(self, rng: SampleRng, size: int) -> tuple[Tensor, Tensor]:
        """Draw square crops at full scale, mirrored or not: rainy and derained, (B, 3, size, size) each."""
        index = rng.integer(len(self.rainy))
        scale = torch.ones(rng.batch, device=rng.device)
        grid = crop_grid(rng, self.rainy, index, scale, size)
        return sample(self.rainy, index, grid), sample(self.derained, index, grid)


def read_photographs(folder: Path) -> list[RgbImage]:
    """Read the photographs of a folder and those below it, by name, cut by `trimmed`.

    Raises
    ------
    FileNotFoundError
        If there is none; names the folder.
    ValueError
        If one of them cannot be read; names it.
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


def evenly(things: Sequence[Thing], most: int) -> list[Thing]:
    """Take at most `most` things, evenly spaced."""
    count = min(most, len(things))
    return [things[number * len(things) // count] for number in range(count)]


def trimmed(photograph: RgbImage) -> RgbImage:
    """Take the middle of a photograph that is larger than what is held in memory."""
    top, left = (max(0, extent - LARGEST_SIDE) // 2 for extent in photograph.shape[:2])
    return photograph[top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]


def digest_of(photographs: Sequence[RgbImage]) -> str:
    """Return the SHA-256 over sizes and pixels: what "the same unlabelled photographs" means."""
    digest = sha256()
    for photograph in photographs:
        digest.update(repr(photograph.shape).encode())
        digest.update(np.ascontiguousarray(photograph).tobytes())
    return digest.hexdigest()


def cache_teacher_targets(
    fabric: Fabric, teacher: Teacher, photographs: Sequence[RgbImage], memory: Path
) -> TeacherTargets:
    """Let a teacher derain photographs, or read what it made of the same ones before.

    Parameters
    ----------
    fabric : Fabric
        Precision and device; of several processes each writes the same.
    teacher : Teacher
        On that device.
    photographs : sequence of ndarray
        Unlabelled, uint8 (H, W, 3) each.
    memory : Path
        Folder in which the lessons are kept, named by the teacher and by what it derained.
    """
    rainy = [torch.from_numpy(photograph.copy()) for photograph in photographs]
    identity = f"{teacher.digest} {teacher.views} {digest_of(photographs)}"
    path = memory / f"lessons-{sha256(identity.encode()).hexdigest()[:16]}.safetensors"
    if path.exists():
        kept = load_file(path)
        derained = [kept[f"{number:06d}"] for number in range(len(rainy))]
    else:
        bar = tqdm(rainy, desc=f"lessons of {teacher.name}", unit="photo", mininterval=5)
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
