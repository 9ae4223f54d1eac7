"""Make the picture in the README: rainy photographs above their derained versions.

    python -m benchmarks.release.contact_sheet --data DATA

It shows three frames of `DATA/real_frames` and three samples under procedural rain, selected by lowest SHA-256
rather than by looks. Writes `results/before_after.jpg`.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.engine import Engine, fast_dtype
from models.modelfile import build, read_model_file
from models.shipped import DEFAULT_WEIGHTS
from tasks.media.samples import make_samples

RESULTS = Path(__file__).parents[1] / "results" / "before_after.jpg"
EACH = 3
CELL = (400, 300)


def main() -> None:
    """Choose and derain the photographs, and write the picture."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release.contact_sheet", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with real_frames")
    frames = lowest(parser.parse_args().data.glob("real_frames/*.[jp]*g"))
    device = torch.device("cpu")
    engine = Engine(build(read_model_file(DEFAULT_WEIGHTS)), device, fast_dtype(device))
    with tempfile.TemporaryDirectory() as folder:
        rainy_samples, _ = make_samples(folder)
        sheet(engine, [*frames, *lowest(Path(rainy_samples).iterdir())]).save(RESULTS, quality=90)


def lowest(paths: Iterable[Path]) -> list[Path]:
    """Return the `EACH` files whose content has the lowest SHA-256."""
    return sorted(paths, key=lambda path: hashlib.sha256(path.read_bytes()).hexdigest())[:EACH]


def sheet(engine: Engine, paths: list[Path]) -> Image.Image:
    """Paste each photograph above its derained version, the middle of both at full size."""
    width, height = CELL
    page = Image.new("RGB", (width * len(paths), 2 * height))
    for column, path in enumerate(paths):
        with Image.open(path) as image:
            rainy = np.asarray(image.convert("RGB"))
        for row, pixels in enumerate((rainy, engine.derain(rainy[None])[0])):
            page.paste(_middle(pixels), (column * width, row * height))
    return page


def _middle(pixels: np.ndarray) -> Image.Image:
    width, height = CELL
    left, top = (pixels.shape[1] - width) // 2, (pixels.shape[0] - height) // 2
    return Image.fromarray(pixels).crop((left, top, left + width, top + height))


if __name__ == "__main__":
    main()
