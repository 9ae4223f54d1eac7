"""Teachers (`Teacher`): frozen networks of any architecture, alone or as a self-ensemble."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.modelfile import ModelFile, build, read_model_file
from models.networks.base import Features, Network
from models.pairs import mask_of

NEEDED_LEAD = 0.7
"""dB by which a teacher should lead its student in the overall validation score."""
UPRIGHT_VIEWS = 4
"""Number of views in which rain is still upright. They gain 0.4 dB of the overall validation score for the shipped
student as teacher; with the views turned by 90 degrees, it loses 4.5 dB."""
_SELF_ENSEMBLE = re.compile(r"self-ensemble(?:-(?P<views>[248]))?:(?P<model>.+)")


@dataclass(frozen=True, slots=True)
class TeacherSpec:
    """A teacher's model, and the number of views of a photograph over which its outputs are averaged.

    Parameters
    ----------
    model : str
        A weights file; where there is a registry, also `models:/name@alias` or `models:/name/version`.
    views : int
        1 for the model alone; 2, 4 or 8 for a self-ensemble.
    """

    model: str
    views: int = 1

    def __str__(self) -> str:
        return self.model if self.views == 1 else f"self-ensemble-{self.views}:{self.model}"


def parse_teacher(text: str) -> TeacherSpec:
    """Parse `MODEL`, `self-ensemble:MODEL` (the upright views) or `self-ensemble-8:MODEL`."""
    found = _SELF_ENSEMBLE.fullmatch(text)
    return TeacherSpec(found["model"], int(found["views"] or UPRIGHT_VIEWS)) if found else TeacherSpec(text)


class Teacher:
    """A frozen network that derains photographs and returns its features.

    It is not a `Module`, so that its weights are neither trained nor written to checkpoints.

    Parameters
    ----------
    network : Network
        Network of any architecture.
    name : str
        Name of the teacher.
    digest : str
        Digest of its model file.
    views : int
        Number of views of a photograph over which its outputs are averaged: 1, 2 (mirrored), 4 (upside down too) or
        8 (turned by 90 degrees too). An average has no features.
    """

    def __init__(self, network: Network, name: str, digest: str, views: int = 1) -> None:
        frozen = network.eval().requires_grad_(False)
        self.network: Network = frozen.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.name = name
        self.digest = digest
        self.views = views

    @property
    def feature_widths(self) -> Mapping[int, int]:
        """Channels of the teacher's features (see `Network.feature_widths`); an average has none."""
        return self.network.feature_widths if self.views == 1 else {}

    def to(self, device: torch.device) -> Teacher:
        """Move the network to a device."""
        self.network.to(device)
        return self

    @torch.no_grad()
    def teach(self, rainy: Tensor) -> Features:
        """Derain (B, 3, H, W) and return the intermediate features.

        For a network without a rain mask, the mask is computed from the layer that it removes.
        """
        if self.views > 1:
            return Features(self.derain(rainy), {}, None)
        found = self.network.features(rainy.contiguous(memory_format=torch.channels_last))
        if found.rain_mask is not None or not found.levels:
            return found
        return found._replace(rain_mask=mask_of((rainy - found.derained).mean(dim=1, keepdim=True)))

    @torch.no_grad()
    def derain(self, rainy: Tensor) -> Tensor:
        """Derain (B, 3, H, W), averaged over all views."""
        total = torch.zeros_like(rainy)
        for number in range(self.views):
            view = to_view(number, rainy).contiguous(memory_format=torch.channels_last)
            total += to_view(number, self.network(view), back=True)
        return total / self.views


def to_view(view: int, pictures: Tensor, *, back: bool = False) -> Tensor:
    """Transform pictures (B, C, H, W) into one of eight views (mirrored, upside down, turned), or back.

    Views 0 to 3 keep the direction of fall upright.
    """
    flipped = [axis for axis, bit in ((-1, 1), (-2, 2)) if view & bit]
    if view & 4 and back:
        return pictures.transpose(-2, -1).flip(flipped) if flipped else pictures.transpose(-2, -1)
    pictures = pictures.flip(flipped) if flipped else pictures
    return pictures.transpose(-2, -1) if view & 4 else pictures


def read_teacher(text: str) -> Teacher:
    """Read a teacher whose model is a file.

    Raises
    ------
    ModelFileInvalid
        If the file cannot be used; the message names it.
    """
    spec = parse_teacher(text)
    return teacher_of(read_model_file(Path(spec.model)), TeacherSpec(Path(spec.model).stem, spec.views))


def teacher_of(model_file: ModelFile, spec: TeacherSpec) -> Teacher:
    """Build a teacher from a model file.

    Raises
    ------
    ModelFileInvalid
        If the file cannot be used.
    """
    return Teacher(build(model_file, spec.model), str(spec), model_file.digest, spec.views)
