"""Draw six kinds of rain on which networks fail, before and after, at full size.

    python -m benchmarks.release.failure_kinds --data SETS

Each row of the sheet shows a crop of a rainy photograph and its derained versions by student-base, the former
default, and student-large. Frames of `SETS/real_frames` (from S2VD, MIT licence) show real rain. Kinds that they
lack are rendered on scikit-image's photographs, which are free to use. Writes `docs/images/failure-kinds.jpg`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from benchmarks.common.networks import Network, networks
from benchmarks.common.photographs import read
from models.images import RgbImage, to_floats, to_rgb
from models.rain.lens_drops import on_the_lens
from models.rain.streaks import BOLD, FINE, MEDIUM, SHEET, SOFT, StreakFamily, procedural_layer
from models.rng import SampleRng
from models.shipped import network_path
from tasks.media.samples import photograph

PAGE = Path(__file__).parents[2] / "docs" / "images" / "failure-kinds.jpg"
NETWORKS = ("student-base", "student-large")
CELL = (384, 240)
TITLE = 24
"""Height in pixels of the title above each row."""
Render = Callable[[RgbImage], RgbImage]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of the sheet: a kind of rain, a photograph, and the corner of the crop to show."""

    kind: str
    key: str
    """A file below the data, or the name of a photograph in scikit-image if rain is rendered on it."""
    left: int
    top: int
    render: Render | None = None

    def title(self) -> str:
        """Return the kind of rain and the source of the photograph."""
        return f"{self.kind}: {self.key}" + (", rendered rain" if self.render else "")

    def rainy(self, data: Path) -> RgbImage:
        """Return the whole rainy photograph, (H, W, 3) uint8."""
        if self.render is None:
            return read(data / self.key)
        return self.render(photograph(self.key))


@dataclass(frozen=True, slots=True)
class Streaks:
    """Rain of several families at several angles (radians; 0 falls straight down), on a darkened photograph."""

    families: tuple[StreakFamily, ...]
    angles: tuple[float, ...]
    exposure: float = 1.0
    seed: int = 0

    def __call__(self, clean: RgbImage) -> RgbImage:
        """Add the rain."""
        size = (clean.shape[0], clean.shape[1])
        rng = SampleRng(self.seed, torch.tensor([0]))
        layers = [
            procedural_layer(rng, family, torch.tensor([angle]), size)
            for angle in self.angles
            for family in self.families
        ]
        return to_rgb((self.exposure * to_floats(clean) + torch.stack(layers).sum(0)[0]).clamp(0, 1))


def drops(clean: RgbImage) -> RgbImage:
    """Render drops on the lens."""
    return to_rgb(on_the_lens(SampleRng(3, torch.tensor([0])), to_floats(clean)[None])[0][0])


EXAMPLES = (
    Example("fine dense", "real_frames/00003.jpg", 180, 80),
    Example("fine dense", "real_frames/00046.jpg", 256, 80),
    Example("heaviest", "coffee", 108, 80, Streaks((SOFT, SHEET, SHEET, SHEET, FINE, FINE, BOLD), (0.15,))),
    Example("night", "rocket", 128, 160, Streaks((FINE, MEDIUM, BOLD), (0.1,), exposure=0.5)),
    Example("two directions", "chelsea", 40, 30, Streaks((MEDIUM, BOLD), (-0.35, 0.3))),
    Example("near bold", "real_frames/00003.jpg", 256, 240),
    Example("near bold", "real_frames/00031.jpg", 256, 240),
    Example("drops on the lens", "astronaut", 64, 0, drops),
)


def main() -> None:
    """Derain the examples and write the sheet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release.failure_kinds", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with real_frames")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    compared = list(networks([network_path(name) for name in NETWORKS]))
    sheet([_pictures(each, arguments.data, compared) for each in EXAMPLES]).save(arguments.out, quality=88)


@dataclass(frozen=True, slots=True)
class Row:
    """A title, and crops of equal size from left to right."""

    title: str
    crops: Sequence[RgbImage]


def _pictures(example: Example, data: Path, compared: Sequence[Network]) -> Row:
    rainy = example.rainy(data)
    titles = " | ".join(("rainy", *(network.name for network in compared)))
    crops = [_crop(pixels, example) for pixels in (rainy, *(network.derain(rainy) for network in compared))]
    return Row(f"{example.title()}    ({titles})", crops)


def _crop(pixels: RgbImage, example: Example) -> RgbImage:
    width, height = CELL
    return pixels[example.top : example.top + height, example.left : example.left + width]


def sheet(rows: Sequence[Row]) -> Image.Image:
    """Return a sheet of rows of crops, each row under its title."""
    height, width = rows[0].crops[0].shape[:2]
    columns = len(rows[0].crops)
    page = Image.new("RGB", (width * columns, (height + TITLE) * len(rows)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(15)
    for number, row in enumerate(rows):
        top = number * (height + TITLE)
        draw.text((6, top + 3), row.title, fill="black", font=font)
        for column, crop in enumerate(row.crops):
            page.paste(Image.fromarray(np.ascontiguousarray(crop)), (column * width, top + TITLE))
    return page


if __name__ == "__main__":
    main()
