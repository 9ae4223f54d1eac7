"""What a training that began from a network leaves of it: its best weights, blended with those it began from."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lightning_fabric import Fabric

from models.blending import blended
from models.modelfile import ModelFile, build, pack, read_model_file, write_model_file
from models.networks import Network
from models.validation import RenderedScore
from tasks.training.tracked import Training

BLENDED = "blended.safetensors"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a training."""

    before: RenderedScore
    """Of what it began from, on validation."""
    after: RenderedScore
    share: float
    """Of the way from there to the best weights."""
    weights: Path


def keep(
    fabric: Fabric, training: Training, start: ModelFile, judge: Callable[[Network], RenderedScore]
) -> Kept:
    """Go from the start towards the best weights as far as forgets little, and write what lies there.

    Parameters
    ----------
    fabric : Fabric
        Launched: its device and precision judge.
    training : Training
        Whose best weights lie in its work folder; the others come beside them.
    start : ModelFile
        What the training began from.
    judge : callable
        Returns the score of a network on validation data.
    """

    def judged(network: Network) -> RenderedScore:
        with fabric.autocast():
            return judge(copy.deepcopy(network).to(fabric.device))

    best, origin = read_model_file(training.weights), build(start)
    before = judged(origin)
    blend = blended(origin, build(best), before, judged)
    facts = json.loads(best.config)["facts"] | {
        "share": blend.share,
        "validation_psnr_y": asdict(blend.score),
    }
    weights = training.work / BLENDED
    write_model_file(pack(blend.network, facts, name=training.preset), weights)
    return Kept(before, blend.score, blend.share, weights)
