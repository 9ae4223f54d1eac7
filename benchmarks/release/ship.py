"""Ship trained weights if they beat the shipped ones on the validation split.

    python -m benchmarks.release.ship checkpoints/student-base --data DATA
    python -m benchmarks.release.ship checkpoints/student-large --data DATA --beats student-base.safetensors

Better means a higher overall validation score, and no clearly lower informedness of planted rain and detail on the
same rainy photographs: a network that is trained further on rendered rain may become cautious on real photographs.

The command copies `<out>/<preset>.safetensors` of a training to `models/weights/`, with a note on its data in the
config, and its curve to `benchmarks/results/training_<preset>.csv`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn

from benchmarks.common.brief_training import autocast, scored
from models.evaluation.probes import ProbeScore, probe
from models.evaluation.validation import REVISION, ValidationScore, ValidationSet, render_validation
from models.modelfile import build, pack, read_model_file, write_model_file
from models.pairs import RainyPair
from models.rain.banks import load_training_data
from models.shipped import WEIGHTS

RESULTS = Path(__file__).parents[1] / "results"
TOLERATED_LOSS = 0.01
"""Loss of informedness that counts as none: somewhat more than the 95 % interval on 40 photographs."""
DATA_NOTE = (
    "398 clean photographs (BSDS500), 189 recorded streak layers (RainTrainL), 750 rendered streak layers (after"
    " Garg and Nayar), procedural streaks; every tenth photograph with its layer and 20 rendered scenes held out"
)


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a network on the validation split."""

    rendered: ValidationScore
    planted: ProbeScore

    def __str__(self) -> str:
        return (
            f"{self.rendered}; planted rain: recall {self.planted.rain_recall:.3f},"
            f" detail kept {self.planted.detail_kept:.3f}"
        )


def main() -> None:
    """Compare the weights on the validation split, then copy or refuse them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release.ship", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("out", type=Path, help="folder of a training")
    parser.add_argument("--data", type=Path, required=True, help="training folder")
    parser.add_argument(
        "--beats", type=Path, help="another weights file to beat, besides the shipped one of the same name"
    )
    parser.add_argument(
        "--photographs", type=int, default=40, help="held-out photographs to compare on; default: 40"
    )
    parser.add_argument("--note", default="", help="note on the training for the config")
    arguments = parser.parse_args()
    (candidate,) = (
        path for path in arguments.out.glob("*.safetensors") if path.with_suffix(".json").exists()
    )
    pairs = render_validation(load_training_data(arguments.data, held_out=True), arguments.photographs)
    new = score(candidate, pairs)
    shipped = WEIGHTS / candidate.name
    rivals = [arguments.beats] if arguments.beats else []
    for rival in [*rivals, *([shipped] if shipped.exists() else [])]:
        refuse_worse(candidate, new, rival, pairs)
    ship(candidate, shipped, new, arguments.note)
    shutil.copy(arguments.out / "curve.csv", RESULTS / f"training_{candidate.stem}.csv")
    print(f"{shipped}: {new}")


def refuse_worse(candidate: Path, new: Scores, rival: Path, pairs: ValidationSet) -> None:
    """End the program if a candidate does not beat its rival; print its lead."""
    old = score(rival, pairs)
    lead = new.rendered.overall - old.rendered.overall
    informed = new.planted.informedness - old.planted.informedness
    print(f"{rival}: {old}\n{candidate}: {new}\nlead {lead:+.3f} dB, informedness {informed:+.3f}")
    if lead <= 0 or informed < -TOLERATED_LOSS:
        raise SystemExit(f"{candidate} does not beat {rival}: nothing changed")


def score(path: Path, pairs: ValidationSet) -> Scores:
    """Score a weights file on whole held-out photographs."""
    torch.manual_seed(0)
    network = build(read_model_file(path)).eval()
    return Scores(scored(network, pairs), planted(network, pairs.fine))


def planted(network: nn.Module, pairs: Sequence[RainyPair]) -> ProbeScore:
    """Plant probes in photographs that are rainy, like real ones; return the mean score."""

    def derain(rainy: Tensor) -> Tensor:
        with autocast():
            derained: Tensor = network(rainy).float()
        return derained

    scores = [probe(derain, pair.rainy[0], number) for number, pair in enumerate(pairs)]
    return ProbeScore(fmean(each.rain_recall for each in scores), fmean(each.detail_kept for each in scores))


def ship(candidate: Path, shipped: Path, scores: Scores, note: str) -> None:
    """Write the candidate's weights to the place of the shipped ones, with its data and scores in the config."""
    model_file = read_model_file(candidate)
    facts = json.loads(model_file.config)["facts"]
    facts |= {"validation_psnr_y": {name: round(value, 3) for name, value in asdict(scores.rendered).items()}}
    facts |= {"validation_revision": REVISION}
    facts |= {"validation_planted": {name: round(value, 3) for name, value in asdict(scores.planted).items()}}
    facts |= {"data": DATA_NOTE} | ({"note": note} if note else {})
    facts["train"]["init"] = Path(facts["train"].get("init", "")).name
    write_model_file(pack(build(model_file), facts, name=candidate.stem), shipped)


if __name__ == "__main__":
    main()
