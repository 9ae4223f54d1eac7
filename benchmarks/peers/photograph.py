"""The work of every peer on one photograph, with PyTorch and Pillow alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from models.modelfile import build, read_model_file


def load_bf16(weights: Path) -> nn.Module:
    """Load a network for one thread, in bf16 and channels_last, which is fastest on a CPU."""
    torch.set_num_threads(1)
    network: nn.Module = build(read_model_file(weights)).bfloat16()
    return network.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


@torch.inference_mode()
def derain_file(network: nn.Module, path: Path, destination: Path) -> None:
    """Read a photograph, derain it and save it under the same name."""
    with Image.open(path) as image:
        rainy = np.array(image.convert("RGB"))
    derained = network(torch.from_numpy(rainy)[None].permute(0, 3, 1, 2) / 255)
    pixels = (derained[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(destination / path.name, quality=92)
