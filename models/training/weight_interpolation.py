"""Interpolation of weights between a fine-tuned network and its start (`select_alpha`) that forgets little.

Weights between the two, on the straight line that joins them, keep more of what the start knew than they lose of
what was learnt since: WiSE-FT (Wortsman et al., CVPR 2022). How far to go is our rule.
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
"""Steps of the way that are compared."""
MAX_FORGETTING_DB = 0.2
"""dB of psnr_y under rendered rain that may be lost on validation. Ours, set with a look at what the rain of
`benchmarks.learning.learning_loop` gained at several shares, and at what was lost of Rain100L then."""


@dataclass(frozen=True, slots=True)
class Blend:
    """A network between two others."""

    network: Network
    """In fp32, its weights rounded to fp16 as they are kept; ready for inference."""
    share: float
    """Interpolation weight from the start to the trained network, in (0, 1]."""
    score: RenderedScore
    """On validation."""


def select_alpha(
    start: Network, trained: Network, before: RenderedScore, judge: Callable[[Network], RenderedScore]
) -> Blend:
    """Select the largest interpolation weight that forgets at most `MAX_FORGETTING_DB`, or else the smallest.

    Parameters
    ----------
    start, trained : Network
        Of the same sizes.
    before : RenderedScore
        Of the start, on validation.
    judge : callable
        Returns the score of a network on the same photographs. What is forgotten is taken to grow along the way.
    """
    parts: dict[int, Blend] = {}

    def forgets(part: int) -> bool:
        network = interpolate(start, trained, part / PARTS)
        parts[part] = Blend(network, part / PARTS, judge(network))
        return before.rendered - parts[part].score.rendered > MAX_FORGETTING_DB

    return parts[max(1, bisect_left(range(1, PARTS + 1), True, key=forgets))]


def interpolate(start: Network, trained: Network, share: float) -> Network:
    """Return the network that lies `share` of the way from one to the other; counts are those of the latter."""
    origin, network = start.state_dict(), build(pack(trained, {}))
    ends = trained.state_dict().items()
    network.load_state_dict(
        {name: origin[name].lerp(end, share) if end.is_floating_point() else end for name, end in ends}
    )
    return build(pack(network, {}))


@dataclass(frozen=True, slots=True)
class Kept:
    """The result of a training that is kept."""

    before: RenderedScore
    """Validation score of the initial weights."""
    after: RenderedScore
    share: float
    """Interpolation weight from the initial to the best weights."""
    weights: Path

    @property
    def is_better(self) -> bool:
        """Whether it is worth more than what the training began from."""
        return self.after.overall > self.before.overall


def keep(fabric: Fabric, best: Path, start: ModelFile, judge: Callable[[Network], RenderedScore]) -> Kept:
    """Blend the best weights of a training with those it began from, and write what lies there.

    Parameters
    ----------
    fabric : Fabric
        Launched: its device and precision judge.
    best : Path
        Weights file; `blended.safetensors` is written next to it.
    start : ModelFile
        What the training began from.
    judge : callable
        Returns the score of a network on validation data.
    """

    def judged(network: Network) -> RenderedScore:
        with fabric.autocast():
            return judge(copy.deepcopy(network).to(fabric.device))

    trained, origin = read_model_file(best), build(start)
    before = judged(origin)
    blend = select_alpha(origin, build(trained), before, judged)
    config = json.loads(trained.config)
    facts = config["facts"] | {"share": blend.share, "validation_psnr_y": asdict(blend.score)}
    weights = best.with_name("blended.safetensors")
    write_model_file(pack(blend.network, facts, name=config["name"]), weights)
    return Kept(before, blend.score, blend.share, weights)
