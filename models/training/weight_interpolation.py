"""Interpolation of weights between a fine-tuned network and its start (`select_alpha`), to limit forgetting.

Interpolated weights recover most of what fine-tuning forgot and lose little of what it learnt: WiSE-FT (Wortsman et
al., CVPR 2022). The rule that selects the interpolation weight is ours.
"""

from __future__ import annotations

import copy
import json
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_fabric import Fabric

from models.evaluation.validation import RenderedScore
from models.modelfile import ModelFile, build, pack, read_model_file, write_model_file
from models.networks.base import Network

PARTS = 10
"""Number of interpolation weights to choose from, evenly spaced up to 1."""
MAX_FORGETTING_DB = 0.2
"""Largest loss of psnr_y under rendered rain on validation, dB. Ours, chosen from the gains on the rain of
`benchmarks.learning.learning_loop` and the losses on Rain100L at several interpolation weights."""


@dataclass(frozen=True, slots=True)
class Blend:
    """A network interpolated between two others."""

    network: Network
    """The network in fp32, with weights rounded to fp16 as in a model file; ready for inference."""
    share: float
    """Interpolation weight from the start to the trained network, in (0, 1]."""
    score: RenderedScore
    """Score of the network on validation data."""


def select_alpha(
    start: Network, trained: Network, before: RenderedScore, score: Callable[[Network], RenderedScore]
) -> Blend:
    """Select the largest interpolation weight that forgets at most `MAX_FORGETTING_DB`, or else the smallest.

    Parameters
    ----------
    start, trained : Network
        Networks of the same sizes.
    before : RenderedScore
        Score of the start on validation data.
    score : callable
        Returns the score of a network on the same photographs. Forgetting is assumed to grow with the weight.
    """
    parts: dict[int, Blend] = {}

    def forgets(part: int) -> bool:
        network = interpolate(start, trained, part / PARTS)
        parts[part] = Blend(network, part / PARTS, score(network))
        return before.rendered - parts[part].score.rendered > MAX_FORGETTING_DB

    return parts[max(1, bisect_left(range(1, PARTS + 1), True, key=forgets))]


def interpolate(start: Network, trained: Network, share: float) -> Network:
    """Interpolate weights: 0 gives the start, 1 the trained network; counts are those of the trained network."""
    origin, network = start.state_dict(), build(pack(trained, {}))
    ends = trained.state_dict().items()
    network.load_state_dict(
        {name: origin[name].lerp(end, share) if end.is_floating_point() else end for name, end in ends}
    )
    return build(pack(network, {}))


@dataclass(frozen=True, slots=True)
class Interpolated:
    """The result of a training after interpolation."""

    before: RenderedScore
    """Validation score of the initial weights."""
    after: RenderedScore
    share: float
    """Interpolation weight from the initial to the best weights."""
    weights: Path

    @property
    def is_better(self) -> bool:
        """Whether the result scores higher than the initial weights."""
        return self.after.overall > self.before.overall


def interpolate_best(
    fabric: Fabric, best: Path, start: ModelFile, score: Callable[[Network], RenderedScore]
) -> Interpolated:
    """Interpolate between the initial and the best weights of a training, and write the result.

    Parameters
    ----------
    fabric : Fabric
        Launched; provides device and precision for validation.
    best : Path
        Weights file; `blended.safetensors` is written next to it.
    start : ModelFile
        Model that the training started from.
    score : callable
        Returns the score of a network on validation data.
    """

    def scored(network: Network) -> RenderedScore:
        with fabric.autocast():
            return score(copy.deepcopy(network).to(fabric.device))

    trained, origin = read_model_file(best), build(start)
    before = scored(origin)
    blend = select_alpha(origin, build(trained), before, scored)
    config = json.loads(trained.config)
    facts = config["facts"] | {"share": blend.share, "validation_psnr_y": asdict(blend.score)}
    weights = best.with_name("blended.safetensors")
    write_model_file(pack(blend.network, facts, name=config["name"]), weights)
    return Interpolated(before, blend.score, blend.share, weights)
