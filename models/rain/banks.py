"""Banks of photographs and streak layers (`Bank`): uint8 on the training device, sampled by `sample`.

Pictures of different sizes lie one after the other in one flat buffer, so that a batch of crops from different
pictures, rotated and rescaled, takes only a few gathers.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

HOLD_OUT_EVERY = 10
"""Every tenth clean photograph, with its streak layer, is held out for validation."""
HELD_OUT_SCENES = range(131, 151)
"""Scenes of the rendered streak bank that are held out for validation."""


PARTS = ("clean", "streaks", "garg")
"""Sub-folders of a training folder."""


@dataclass(frozen=True, slots=True)
class Bank:
    """Pictures in one flat buffer.

    `pixels` is (N, C) uint8; picture i has `heights[i]` rows of `widths[i]` pixels from `offsets[i]` on.
    """

    pixels: Tensor
    offsets: Tensor
    heights: Tensor
    widths: Tensor

    def __len__(self) -> int:
        return len(self.offsets)

    def to(self, device: torch.device) -> Bank:
        """Move the bank to a device."""
        return Bank(*(part.to(device) for part in (self.pixels, self.offsets, self.heights, self.widths)))

    def picture(self, index: int) -> Tensor:
        """Return one whole picture, (C, H, W) float32 in [0, 1]."""
        start = int(self.offsets[index])
        height, width = int(self.heights[index]), int(self.widths[index])
        flat = self.pixels[start : start + height * width]
        return flat.reshape(height, width, -1).permute(2, 0, 1).float() / 255


@dataclass(frozen=True, slots=True)
class TrainingData:
    """The data of one split: clean photographs, the layers recorded for some of them, and the streak bank.

    `layer_of[i]` is the index in `layers` of the layer recorded for photograph i, or -1.
    """

    photographs: Bank
    layers: Bank
    streaks: Bank
    layer_of: Tensor

    def to(self, device: torch.device) -> TrainingData:
        """Move everything to a device."""
        return TrainingData(
            self.photographs.to(device),
            self.layers.to(device),
            self.streaks.to(device),
            self.layer_of.to(device),
        )


def bank_of(pictures: list[Tensor]) -> Bank:
    """Pack pictures, each (H, W, C) uint8, into one bank."""
    sizes = torch.tensor([picture.shape[:2] for picture in pictures])
    areas = sizes.prod(dim=1)
    flat = torch.cat([picture.reshape(-1, picture.shape[-1]) for picture in pictures])
    return Bank(flat, torch.cumsum(areas, 0) - areas, sizes[:, 0], sizes[:, 1])


def sample(bank: Bank, index: Tensor, grid: Tensor) -> Tensor:
    """Sample pictures bilinearly at given points; beyond its edges a picture is mirrored.

    Parameters
    ----------
    bank : Bank
        Pictures of C channels.
    index : Tensor
        (B,) index of the picture per sample.
    grid : Tensor
        (B, H, W, 2) points in pixels (x, y) of that picture; whole numbers are pixel centres.

    Returns
    -------
    Tensor
        (B, C, H, W) float32 in [0, 1].
    """
    width, height = (part[index][:, None, None] for part in (bank.widths, bank.heights))  # (B, 1, 1) each
    x, y = _mirror(grid[..., 0], width), _mirror(grid[..., 1], height)  # (B, H, W) each
    left, top = x.floor(), y.floor()
    right_share, low_share = x - left, y - top  # (B, H, W) each
    left, top = left.long(), top.long()
    right, low = torch.minimum(left + 1, width - 1), torch.minimum(top + 1, height - 1)
    start = bank.offsets[index][:, None, None]  # (B, 1, 1)
    upper, lower = (
        torch.lerp(_gather(bank, begin + left), _gather(bank, begin + right), right_share)
        for begin in (start + row * width for row in (top, low))
    )
    return (torch.lerp(upper, lower, low_share) / 255).transpose(0, 1).contiguous()  # (B, C, H, W)


def _gather(bank: Bank, where: Tensor) -> Tensor:
    """Return the pixels at (B, H, W) positions, (C, B, H, W): plane by plane, which a CPU does faster."""
    flat = where.flatten()
    planes = [plane.index_select(0, flat) for plane in bank.pixels.unbind(1)]
    return torch.stack(planes).reshape(-1, *where.shape).float()


def _mirror(position: Tensor, length: Tensor) -> Tensor:
    """Fold positions into [0, length - 1] as between two mirrors at the edge pixels."""
    period = (2 * (length - 1)).clamp(min=1)
    folded = position - period * torch.floor(position / period)
    return torch.minimum(folded, period - folded).clamp(min=0).minimum(length - 1)


def load_training_data(root: Path, *, held_out: bool) -> TrainingData:
    """Read one split of a training folder.

    Parameters
    ----------
    root : Path
        Folder with `clean/` (RGB photographs) and, optionally, `streaks/` with `streaks.csv` (columns `streaks`,
        `clean`: layers recorded for a photograph, of the same size) and `garg/` (layers named `<scene>-<kind>.*`).
    held_out : bool
        Whether to read the validation split instead of the training split.

    Returns
    -------
    TrainingData
        Streak layers are included at full and at half size: halved streaks look like the fine ones of distant rain.

    Raises
    ------
    FileNotFoundError
        If there are no photographs or no layers; the message names the folder.

    Notes
    -----
    Both splits of the last folder are cached, because the steps of a retraining read the same folder repeatedly. A
    file that is added, removed or changed invalidates the cache. Treat the tensors as read-only.
    """
    return _load(root, held_out, _signature(root))


@lru_cache(maxsize=2)
def _load(root: Path, held_out: bool, signature: tuple[tuple[str, int, int], ...]) -> TrainingData:
    require_training_files(root, held_out=held_out)
    chosen = photographs_of(root, held_out=held_out)
    layer_names = _recorded_layers(root)
    recorded = [name for name in chosen if name in layer_names]
    rendered = _rendered_layers(root, held_out)
    layers = _read_all([root / "streaks" / layer_names[name] for name in recorded], "L")
    streaks = layers + _read_all(rendered, "L")
    position = {name: i for i, name in enumerate(recorded)}
    return TrainingData(
        bank_of(_read_all([root / "clean" / name for name in chosen], "RGB")),
        bank_of(layers or streaks[:1]),
        bank_of(streaks + [_halved(layer) for layer in streaks]),
        torch.tensor([position.get(name, -1) for name in chosen]),
    )


def require_training_files(root: Path, *, held_out: bool) -> None:
    """Check that a split has photographs and layers, without reading them.

    Raises
    ------
    FileNotFoundError
        If it does not; the message names the folder.
    """
    chosen = photographs_of(root, held_out=held_out)
    if not chosen or not (_rendered_layers(root, held_out) or _recorded_layers(root).keys() & set(chosen)):
        raise FileNotFoundError(f"{root}: needs photographs in clean/ and layers in streaks/ or garg/")


def contents_of(root: Path) -> str:
    """Describe the contents of a training folder in one line: pictures per sub-folder, and their total size."""
    files = [(Path(path).parent.name, size) for path, size, _ in _signature(root)]
    counts = Counter(folder for folder, _ in files)
    parts = ", ".join(f"{counts[part]:,} in {part}/" for part in PARTS)
    return f"{root}: {parts}; {sum(size for _, size in files) / 2**20:,.0f} MiB"


def _signature(root: Path) -> tuple[tuple[str, int, int], ...]:
    """Return path, size and modification time of every file that a training reads."""
    paths = [root / "streaks.csv", *(path for part in PARTS for path in sorted((root / part).glob("*.*")))]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.exists())


def photographs_of(root: Path, *, held_out: bool) -> list[str]:
    """Return the names of the clean photographs of one split of a training folder."""
    names = sorted(path.name for path in (root / "clean").glob("*.*"))
    return [name for i, name in enumerate(names) if (i % HOLD_OUT_EVERY == 0) == held_out]


def _recorded_layers(root: Path) -> dict[str, str]:
    table = root / "streaks.csv"
    if not table.exists():
        return {}
    with table.open(newline="") as lines:
        return {row["clean"]: row["streaks"] for row in csv.DictReader(lines)}


def _rendered_layers(root: Path, held_out: bool) -> list[Path]:
    paths = sorted((root / "garg").glob("*-*.*"))
    return [path for path in paths if (int(path.name.split("-")[0]) in HELD_OUT_SCENES) == held_out]


def _read_all(paths: list[Path], mode: str) -> list[Tensor]:
    """Read pictures, with a progress bar on a terminal."""
    folder = paths[0].parent if paths else ""
    bar = tqdm(paths, desc=f"reading {folder}", unit="file", disable=None, leave=False)
    return [_read(path, mode) for path in bar]


def _read(path: Path, mode: str) -> Tensor:
    with Image.open(path) as image:
        array = np.asarray(image.convert(mode))
    return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1)


def _halved(layer: Tensor) -> Tensor:
    planes = layer.permute(2, 0, 1)[None].float()
    return F.avg_pool2d(planes, 2).round().to(torch.uint8)[0].permute(1, 2, 0).contiguous()
