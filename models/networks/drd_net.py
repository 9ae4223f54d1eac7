"""DRD-Net: a rain network finds the rain to remove, a detail network the lost detail to restore.

Deng et al., "Detail-recovery Image Deraining via Context Aggregation Networks", CVPR 2020 (arXiv 1908.10267).
Both networks read the rainy photograph at one resolution from stem to head. The rain network weighs its
channels by squeeze-and-excitation; the detail network aggregates context by dilated convolutions (SDCAB):

    coarse = rainy - rain(rainy)
    derained = coarse + detail(rainy)

Ours: the pixel-unshuffled input of the smaller presets, the switches for ablation, the option to leave out
BatchNorm, and heads that start at zero, so that a new network returns its input.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.afr import AfrPlugin
from models.networks.base import Network, pad_to_multiple
from models.networks.blocks import crop_cells
from models.networks.losses import Reconstruction, mask_term
from models.networks.receptive_field import input_receptive_field
from models.pairs import RainyPair

COARSE_WEIGHT = 0.1
"""Weight of the error of the coarse result; the error of the result has weight 1."""


@dataclass(frozen=True, slots=True)
class DrdNetConfig:
    """Sizes of a DRD-Net; the defaults are those of the paper."""

    width: int = 64
    rain_blocks: int = 16
    detail_blocks: int = 16
    se_reduction: int = 16
    """Factor by which squeeze-and-excitation reduces the channels."""
    dilations: tuple[int, ...] = (1, 3, 5)
    """Dilations of the parallel convolutions of the detail network; (1,) for its ablation."""
    norm: bool = True
    """Whether to use BatchNorm, whose statistics could drift in semi-supervised training."""
    unshuffle: int = 1
    """Side of the pixel blocks that become channels at the stem and pixels again at the head."""
    detail: bool = True
    """Whether there is a detail network; without it (an ablation), the coarse result is the result."""
    squeeze_excite: bool = True
    """Whether to use squeeze-and-excitation; without it (an ablation), no operation is global."""
    afr_rounds: int = 0
    """Rounds of AFR on the features of the rain network, with plain convolutions and a separate mask branch."""

    @property
    def size_multiple(self) -> int:
        """Pixels that height and width are padded to a multiple of."""
        return self.unshuffle

    @property
    def receptive_radius(self) -> int:
        """Distance in pixels of the farthest input pixel that can change an output pixel through convolutions."""
        return _receptive_radius(self)

    @property
    def global_operation(self) -> bool:
        """Squeeze-and-excitation averages over the whole photograph."""
        return self.squeeze_excite and self.rain_blocks > 0


@cache
def _receptive_radius(config: DrdNetConfig) -> int:
    """Follow both networks: two convolutions per block (dilated in the detail network), stem, tail and head."""
    pixels = input_receptive_field(config.unshuffle, config.unshuffle)
    rain = pixels.conv(2 + 2 * config.rain_blocks)
    if config.afr_rounds:
        with torch.device("meta"):
            (rain,) = _afr(config).receptive_field([rain])
    rain = rain.conv()
    if not config.detail:
        return rain.radius
    return (rain | pixels.conv(3 + 2 * config.detail_blocks * max(config.dilations))).radius


def _afr(config: DrdNetConfig) -> AfrPlugin:
    return AfrPlugin((config.width,), config.afr_rounds, separable=False)


PRESETS = {
    "paper": DrdNetConfig(),
    "mid": DrdNetConfig(width=48, rain_blocks=8, detail_blocks=5, norm=False, unshuffle=2),
    "slim": DrdNetConfig(width=64, rain_blocks=3, detail_blocks=2, norm=False, unshuffle=4),
    "slim-afr": DrdNetConfig(width=64, rain_blocks=3, detail_blocks=2, norm=False, unshuffle=4, afr_rounds=1),
    "tiny": DrdNetConfig(
        width=8, rain_blocks=2, detail_blocks=1, se_reduction=4, dilations=(1, 2), norm=False, unshuffle=2
    ),
}
"""Named sizes: `paper` as published, a teacher; `mid` for one GPU; `slim` for a few CPU cores; `tiny` for tests.

Presets for semi-supervised training have no BatchNorm. It would have to be frozen there, because real and synthetic
rain differ in their statistics, and so do crops and whole photographs.
"""


@dataclass(frozen=True, slots=True)
class DrdOutputs:
    """The layers of both networks and the result, each (B, 3, H, W), not clipped."""

    rain: Tensor
    """The rain layer: rainy - coarse."""
    detail: Tensor
    """The recovered detail: derained - coarse; zeros without a detail network."""
    coarse: Tensor
    derained: Tensor
    mask_logits: Tensor | None = None
    """Logits of the rain mask, with AFR alone: (B, 1, ceil(H / u), ceil(W / u)) with u = `unshuffle`."""


class SqueezeExcite(nn.Module):
    """Weigh each channel by the mean of every channel (Hu, Shen, Sun, CVPR 2018), without biases."""

    def __init__(self, width: int, reduction: int) -> None:
        super().__init__()
        squeezed = max(1, width // reduction)
        self.squeeze = nn.Linear(width, squeezed, bias=False)
        self.excite = nn.Linear(squeezed, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Weigh features of shape (B, width, H, W)."""
        means = features.mean(dim=(2, 3))
        weights: Tensor = torch.sigmoid(self.excite(F.relu(self.squeeze(means))))
        return features * weights[:, :, None, None]


class ContextAggregation(nn.Module):
    """Parallel 3x3 convolutions of several dilations, joined by a 1x1 convolution."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation) for dilation in dilations
        )
        self.join = nn.Conv2d(width * len(dilations), width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate the context of features of shape (B, width, H, W)."""
        joined: Tensor = self.join(torch.cat([branch(features) for branch in self.branches], dim=1))
        return joined


class Residual(nn.Module):
    """Layers whose result is added to their input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        refined: Tensor = self.layers(features)
        return features + refined


class LayerNet(nn.Module):
    """One of the two networks, which maps the rainy photograph to a layer of the same size."""

    def __init__(
        self, config: DrdNetConfig, blocks: Sequence[nn.Module], afr: AfrPlugin | None = None
    ) -> None:
        super().__init__()
        self.unshuffle = config.unshuffle
        pixels = 3 * config.unshuffle**2
        self.stem = nn.Sequential(_conv(pixels, config.width), nn.PReLU(config.width))
        self.blocks = nn.Sequential(*blocks, _conv(config.width, config.width), *_norm(config))
        self.afr = afr
        self.head = _conv(config.width, pixels)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, rainy: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return a layer (B, 3, H, W), and the mask with AFR; the sides must be multiples of `unshuffle`."""
        stem = self.stem(F.pixel_unshuffle(rainy, self.unshuffle))
        features, mask_logits = stem + self.blocks(stem), None
        if self.afr is not None:
            refined = self.afr([features])
            features, mask_logits = refined.features[0], refined.mask_logits
        return F.pixel_shuffle(self.head(features), self.unshuffle), mask_logits


class DrdNet(Network):
    """Derain photographs: `forward(rainy) -> derained`, any size in, the same size out."""

    config: DrdNetConfig
    costly_method: ClassVar[str] = "outputs"

    def __init__(self, config: DrdNetConfig) -> None:
        super().__init__()
        self.config = config
        afr = _afr(config) if config.afr_rounds else None
        self.rain = LayerNet(config, [_rain_block(config) for _ in range(config.rain_blocks)], afr)
        self.detail = (
            LayerNet(config, [_detail_block(config) for _ in range(config.detail_blocks)])
            if config.detail
            else None
        )

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain a batch; see `Network.forward`."""
        return self.outputs(rainy).derained

    def outputs(self, rainy: Tensor) -> DrdOutputs:
        """Derain a batch as `forward` does, and return the intermediate layers too."""
        padded = pad_to_multiple(rainy, self.config.size_multiple).to(self.rain.head.weight.dtype)
        layer, mask_logits = self.rain(padded)
        rain = _like(rainy, layer)
        detail = torch.zeros_like(rain) if self.detail is None else _like(rainy, self.detail(padded)[0])
        coarse = rainy - rain
        if mask_logits is not None:
            height, width = rainy.shape[-2:]
            mask_logits = crop_cells(mask_logits, height, width, self.config.unshuffle)
        return DrdOutputs(rain, detail, coarse, coarse + detail, mask_logits)

    def loss_terms(self, pair: RainyPair, reconstruction: Reconstruction | None = None) -> dict[str, Tensor]:
        """Return the terms; see `Network.loss_terms`.

        They are L1 of the result and of the coarse result, as published, and the mask's term with AFR.
        """
        outputs = self.outputs(pair.rainy.contiguous(memory_format=torch.channels_last))
        terms = (reconstruction or _l1_terms)(outputs.derained, pair.clean)
        terms["coarse"] = COARSE_WEIGHT * F.l1_loss(outputs.coarse.float(), pair.clean.float())
        if outputs.mask_logits is None:
            return terms
        return terms | {"mask": mask_term(outputs.mask_logits, pair.rain_mask)}


def _l1_terms(derained: Tensor, clean: Tensor) -> dict[str, Tensor]:
    return {"derained": F.l1_loss(derained.float(), clean.float())}


def _rain_block(config: DrdNetConfig) -> Residual:
    gate = [SqueezeExcite(config.width, config.se_reduction)] if config.squeeze_excite else []
    return Residual(*_pair(config, lambda: _conv(config.width, config.width)), *gate)


def _detail_block(config: DrdNetConfig) -> Residual:
    return Residual(*_pair(config, lambda: ContextAggregation(config.width, config.dilations)))


def _pair(config: DrdNetConfig, convolution: Callable[[], nn.Module]) -> list[nn.Module]:
    return [convolution(), *_norm(config), nn.PReLU(config.width), convolution(), *_norm(config)]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def _norm(config: DrdNetConfig) -> list[nn.Module]:
    return [nn.BatchNorm2d(config.width)] if config.norm else []


def _like(rainy: Tensor, layer: Tensor) -> Tensor:
    """Remove the padding of a layer and convert it to the photograph's dtype."""
    height, width = rainy.shape[-2:]
    return layer[..., :height, :width].to(rainy.dtype)
