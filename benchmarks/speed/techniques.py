"""The networks and techniques to time (`variants`), from plain fp32 to the fastest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.common.unet import PRESETS, UNet
from benchmarks.speed.prenet import PReNet
from models.modelfile import build, read_model_file
from models.networks.architectures import build_network, preset, presets
from models.shipped import WEIGHTS

PRENET = "prenet"
TECHNIQUES = ("fp32", "bf16", "bf16 channels_last", "bf16 channels_last compiled")
"""Techniques, each of which adds something to the one before."""
TF32 = "tf32"
"""Additional technique on a GPU, after fp32: convolutions whose inputs are rounded to 10 bits of mantissa."""
CUDA_GRAPHS = "bf16 channels_last compiled with CUDA graphs"
"""Additional technique on a GPU."""

PEERS: Mapping[str, Callable[[], nn.Module]] = {PRENET: PReNet, "u-net-slim": partial(UNet, PRESETS["slim"])}
"""Networks outside the catalogue, by name; their weights are new."""

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Variant:
    """A network, a technique to run it with, and a batch size."""

    network: str
    """Full name of a preset, or one of `PEERS`."""
    technique: str
    batch: int


def variants(networks: list[str], device: torch.device, batches: list[int]) -> Iterator[Variant]:
    """Yield all variants: PReNet in fp32 first, to which ratios refer, then every network with every technique."""
    techniques = (TECHNIQUES[0], TF32, *TECHNIQUES[1:], CUDA_GRAPHS) if device.type == "cuda" else TECHNIQUES
    for batch in batches:
        yield Variant(PRENET, TECHNIQUES[0], batch)
        yield Variant(PRENET, TECHNIQUES[2], batch)
        for network in networks:
            yield from (Variant(network, technique, batch) for technique in techniques)


def known_networks() -> list[str]:
    """Return the names of all networks that can be timed."""
    return [*presets(), *PEERS]


def weights_of(name: str) -> nn.Module:
    """Build a network with its shipped weights, or with new ones if it does not ship."""
    if name in PEERS:
        return PEERS[name]().eval().requires_grad_(False)
    shipped = WEIGHTS / f"{name}.safetensors"
    if shipped.exists():
        return build(read_model_file(shipped))
    return build_network(preset(name)).eval().requires_grad_(False)


def picture(variant: Variant, size: int, device: torch.device) -> Tensor:
    """Return the input of a variant: noise under a grating, (batch, 3, size, size) in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, size, size, generator=generator)
    streaks = (torch.arange(size) % 11 < 2).float() * 0.3
    rainy = (0.5 * noise + streaks).clamp(0, 1).expand(variant.batch, -1, -1, -1).contiguous().to(device)
    if variant.technique == TECHNIQUES[0] or "channels_last" not in variant.technique:
        return rainy
    return rainy.contiguous(memory_format=torch.channels_last)


def forward_of(variant: Variant, device: torch.device) -> Forward:
    """Return the forward pass of a variant."""
    torch.manual_seed(0)
    network = weights_of(variant.network).to(device)
    if variant.technique.startswith("bf16"):
        network = network.to(torch.bfloat16)
    if "channels_last" in variant.technique:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if "compiled" in variant.technique:
        mode = "reduce-overhead" if variant.technique == CUDA_GRAPHS else "default"
        network = torch.compile(network, dynamic=False, mode=mode)  # type: ignore[assignment]
    return partial(_forward, network, variant)


def _forward(network: nn.Module, variant: Variant, rainy: Tensor) -> Tensor:
    # A setting of the process that is on by default, with which cuDNN would round in fp32 too.
    torch.backends.cudnn.allow_tf32 = variant.technique != TECHNIQUES[0]
    if variant.network == PRENET and variant.technique.startswith("bf16"):
        return network(rainy.bfloat16()).float()  # type: ignore[no-any-return]
    derained: Tensor = network(rainy)
    return derained
