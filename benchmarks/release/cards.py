"""Write model cards of the shipped networks from their configs and the measured figures.

    python -m benchmarks.release.cards

Writes `models/weights/<name>.md` for each; figures come from `results/quality.csv` and `results/real_rain.csv`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from models.modelfile import build, read_model_file
from models.shipped import WEIGHTS

RESULTS = Path(__file__).parents[1] / "results"

CARD = """# {name}

{architecture}, {parameters:,} parameters, {gmac} GMAC for a photograph of 512x512. fp16 safetensors.

**Use.** Removes rain streaks from photographs. {tiling}

**Data.** {data}.{unlabelled} Rain is recorded (RainTrainL layers), rendered (after Garg and Nayar) and
procedural. The photographs and recorded layers come from research sets whose terms differ and are partly
unclear; none of them is in this repository. The weights are under the repository's licence.

**Training.** `{command}`, recipe `{recipe}`, {steps:,} steps, best of the validation
split at step {step:,}: {validation}. {note}

**Measured** (test sets, which are only reported and select nothing)

{measured}

**Limits.** One network for light, heavy and real rain: heavy rain is reduced rather than removed, bold
streaks near the lens and mist remain in part, and raindrops on the lens remain. Fine gratings and text lose a
little contrast. 8-bit RGB; not for images other than photographs.
"""


def main() -> None:
    """Write the card of every shipped network."""
    for weights in sorted(WEIGHTS.glob("*.safetensors")):
        if weights.with_suffix(".json").exists():
            weights.with_suffix(".md").write_text(card(weights))
            print(weights.with_suffix(".md"))


def card(weights: Path) -> str:
    """Return the card of one network."""
    build(read_model_file(weights))  # a damaged file must not get a card
    config = json.loads(weights.with_suffix(".json").read_bytes())
    facts, train = config["facts"], config["facts"]["train"]
    validation = ", ".join(f"{kind} {psnr:.2f}" for kind, psnr in facts["validation_psnr_y"].items())
    whole = "It needs whole photographs: those above the tile budget are rejected."
    return CARD.format(
        **{key: config[key] for key in ("name", "architecture", "parameters", "gmac")},
        tiling=whole if config["global_operation"] else "Any size, with the same pixels whole or in tiles.",
        data=facts["data"],
        unlabelled=_unlabelled(facts.get("lineage", {})),
        command=_command(config["name"], facts),
        recipe=train["recipe"],
        steps=train["steps"],
        step=facts["step"],
        validation=f"psnr_y {validation} dB",
        note=facts.get("note", ""),
        measured=measured(config["name"]),
    )


def _command(name: str, facts: dict[str, Any]) -> str:
    """Return the command of the training, in which teachers are files of their names."""
    train, lineage = facts["train"], facts.get("lineage")
    words = [f"python -m models.{'distill' if lineage else 'train'} --preset {name}"]
    if train["init"]:
        words.append(f"--init {train['init']}")
    if lineage:
        words.append(f"--teacher {lineage['teacher']}.safetensors")
    if lineage and lineage["unlabelled_photographs"]:
        words.append(
            f"--unlabelled-teacher {lineage['unlabelled_teacher']}.safetensors --unlabelled PHOTOGRAPHS"
        )
    return " ".join(words)


def _unlabelled(lineage: dict[str, Any]) -> str:
    count = lineage.get("unlabelled_photographs", 0)
    return f" Also {count} rainy photographs without labels." if count else ""


def measured(name: str) -> str:
    """Return the measured figures of a network as a Markdown list."""
    lines = [
        f"- {row['set']} (n = {row['n']}): psnr_y {row['psnr_y']} dB, ssim_y {row['ssim_y']},"
        f" tenth percentile {row['psnr_y_p10']}, worst {row['psnr_y_min']}"
        for row in _rows("quality.csv", name)
    ]
    lines += [
        f"- {row['set']} (n = {row['n']}), planted probes: rain recall {row['rain_recall']}, detail kept"
        f" {row['detail_kept']}"
        for row in _rows("real_rain.csv", name)
    ]
    return "\n".join(lines) or "- not yet: run `python -m benchmarks.quality`"


def _rows(table: str, name: str) -> list[dict[str, str]]:
    path = RESULTS / table
    if not path.exists():
        return []
    with path.open(newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["model"] == name]


if __name__ == "__main__":
    main()
