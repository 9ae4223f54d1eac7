"""Students with random weights for tests, since a new student has a head of zeros and changes nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.student import PRESETS, Student


def random_student(preset: str = "tiny", seed: int = 0) -> Student:
    """Return a student that alters photographs visibly and uses its full receptive field."""
    torch.manual_seed(seed)
    student = Student(PRESETS[preset])
    nn.init.normal_(student.head.weight, std=0.05)
    return student.eval().requires_grad_(False)


def random_pictures(*shape: int, seed: int = 0) -> Tensor:
    """Return uniform noise in [0, 1] of a shape."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
