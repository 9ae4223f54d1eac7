"""The timed techniques: networks, each run in faster and faster ways, one rung per technique."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.common.unet import PRESETS, UNet
from benchmarks.speed.prenet import PReNet
from models.modelfile import STUDENT_BASE, build, read_model_file
from models.networks.architectures import build_network, preset, presets

PRENET = "prenet"
TECHNIQUES = ("fp32", "bf16", "bf16 channels_last", "bf16 channels_last compiled")
"""Each one adds something to the one before."""
TF32 = "tf32"
"""One more on a GPU, after fp32: the same numbers, whose convolutions are rounded to 10 bits of mantissa."""
CUDA_GRAPHS = "bf16 channels_last compiled with CUDA graphs"
"""One more on a GPU."""

PEERS: Mapping[str, Callable[[], nn.Module]] = {PRENET: PReNet, "u-net-slim": partial(UNet, PRESETS["slim"])}
"""Networks of others, by name; their weights are new."""

Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Rung:
    """A network and how it is run."""

    network: str
    """A preset's full name, or one of `PEERS`."""
    technique: str
    batch: int


def rungs(networks: list[str], device: torch.device, batches: list[int]) -> Iterator[Rung]:
    """Yield what is timed: PReNet in fp32 first, which ratios refer to, then every network's techniques."""
    techniques = (TECHNIQUES[0], TF32, *TECHNIQUES[1:], CUDA_GRAPHS) if device.type == "cuda" else TECHNIQUES
    for batch in batches:
        yield Rung(PRENET, TECHNIQUES[0], batch)
        yield Rung(PRENET, TECHNIQUES[2], batch)
        for network in networks:
            yield from (Rung(network, technique, batch) for technique in techniques)


def known_networks() -> list[str]:
    """Names that can be timed."""
    return [*presets(), *PEERS]


def weights_of(name: str) -> nn.Module:
    """Build a network: with the weights that ship, where it ships, else with new ones."""
    if name in PEERS:
        return PEERS[name]().eval().requires_grad_(False)
    shipped = STUDENT_BASE.with_name(f"{name}.safetensors")
    if shipped.exists():
        return build(read_model_file(shipped))
    return build_network(preset(name)).eval().requires_grad_(False)


def picture(rung: Rung, size: int, device: torch.device) -> Tensor:
    """Return what a rung derains, as it wants it: noise under a grating, (batch, 3, size, size) in [0, 1]."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, size, size, generator=generator)
    streaks = (torch.arange(size) % 11 < 2).float() * 0.3
    rainy = (0.5 * noise + streaks).clamp(0, 1).expand(rung.batch, -1, -1, -1).contiguous().to(device)
    if rung.technique == TECHNIQUES[0] or "channels_last" not in rung.technique:
        return rainy
    return rainy.contiguous(memory_format=torch.channels_last)


def forward_of(rung: Rung, device: torch.device) -> Forward:
    """Prepare a network to be run in the way of its rung."""
    torch.manual_seed(0)
    network = weights_of(rung.network).to(device)
    if rung.technique.startswith("bf16"):
        network = network.to(torch.bfloat16)
    if "channels_last" in rung.technique:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if "compiled" in rung.technique:
        mode = "reduce-overhead" if rung.technique == CUDA_GRAPHS else "default"
        network = torch.compile(network, dynamic=False, mode=mode)  # type: ignore[assignment]
    return partial(_forward, network, rung)


def _forward(network: nn.Module, rung: Rung, rainy: Tensor) -> Tensor:
    # Of the whole process, and on unless switched off: cuDNN would round what is called fp32.
    torch.backends.cudnn.allow_tf32 = rung.technique != TECHNIQUES[0]
    if rung.network == PRENET and rung.technique.startswith("bf16"):
        return network(rainy.bfloat16()).float()  # type: ignore[no-any-return]
    derained: Tensor = network(rainy)
    return derained
