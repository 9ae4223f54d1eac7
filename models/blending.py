"""How far a fine-tuned network goes from the one it started from: no farther than pays.

Weights between the two, on the straight line that joins them, forget less of what the start knew than they lose of
what was learnt since: WiSE-FT (Wortsman et al., CVPR 2022). How far to go is our rule.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from models.modelfile import build, pack
from models.networks import Network

STEPS = 10
"""Parts of the way that are told apart."""
KEPT = 0.95
"""Share of the gain on validation that has to be left. Ours, set with a look at what one of the three kinds of rain
in `benchmarks.learning_loop` gained, and at what was forgotten there."""


@dataclass(frozen=True, slots=True)
class Blend:
    """A network between two others."""

    network: Network
    """In fp32, its weights rounded to fp16 as they are kept; ready for inference."""
    share: float
    """Of the way from the start to what was trained, in (0, 1]."""
    score: float
    """On validation, dB."""


def blended(start: Network, trained: Network, before: float, judge: Callable[[Network], float]) -> Blend:
    """Take as little of a training as leaves `KEPT` of what it gained on validation.

    Parameters
    ----------
    start, trained : Network
        Of the same sizes.
    before : float
        Validation score of the start, dB.
    judge : callable
        Returns the validation score of a network, dB.

    Returns
    -------
    Blend
        All of the training, if no part of it leaves so much. Gain is taken to rise along the way as long as it is
        less than that.
    """
    after = judge(trained)
    parts: dict[int, Blend] = {STEPS: Blend(trained, 1.0, after)}

    def keeps(part: int) -> bool:
        network = between(start, trained, part / STEPS)
        parts[part] = Blend(network, part / STEPS, judge(network))
        return parts[part].score - before >= KEPT * (after - before)

    return parts[1 + bisect_left(range(1, STEPS), True, key=keeps)]


def between(start: Network, trained: Network, share: float) -> Network:
    """Return the network that lies `share` of the way from one to the other; counts are those of the latter."""
    origin, network = start.state_dict(), build(pack(trained, {}))
    ends = trained.state_dict().items()
    network.load_state_dict(
        {name: origin[name].lerp(end, share) if end.is_floating_point() else end for name, end in ends}
    )
    return build(pack(network, {}))
