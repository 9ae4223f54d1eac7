"""Find the photographs of real rain from which student-large removes the least, and draw them.

    python -m benchmarks.release.worst_photographs --data SETS --look FOLDER

They have the lowest rain recall in their middle, measured as in `benchmarks.quality.real_photographs`. Writes
`results/worst_photographs.csv`, and a picture of each to `FOLDER`: the middle at full size, rainy and derained by
both networks. These photographs may not be published; `docs/failure-kinds.md` describes them in words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from benchmarks.common.networks import Network, networks
from benchmarks.common.photographs import images_in, middle, read
from benchmarks.common.tables import write_table
from benchmarks.quality.real_photographs import SIDE, of_network, probed
from benchmarks.release.failure_kinds import NETWORKS, Row, sheet
from models.evaluation.probes import score
from models.images import RgbImage
from models.shipped import network_path

RESULTS = Path(__file__).parents[1] / "results" / "worst_photographs.csv"
WORST = 20


@dataclass(frozen=True, slots=True)
class WorstRow:
    """Rain recall and detail kept of both networks on one photograph."""

    photograph: str
    rain_recall_base: float
    rain_recall_large: float
    detail_kept_base: float
    detail_kept_large: float


def main() -> None:
    """Measure all photographs; write the table and the pictures of the worst ones."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release.worst_photographs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with real_rain")
    parser.add_argument("--look", type=Path, required=True, help="folder for the pictures")
    arguments = parser.parse_args()
    compared = list(networks([network_path(name) for name in NETWORKS]))
    paths = {path.stem: path for path in images_in(arguments.data / "real_rain")}
    rows = worst([measured(path, compared) for path in tqdm(paths.values(), unit="photo")])
    write_table(rows, RESULTS)
    arguments.look.mkdir(parents=True, exist_ok=True)
    for number, row in enumerate(rows, start=1):
        page = picture(middle(read(paths[row.photograph]), SIDE), row, compared)
        page.save(arguments.look / f"{number:02d}-{row.photograph}.png")


def measured(path: Path, compared: Sequence[Network]) -> WorstRow:
    """Measure both networks, base and large, by probes in the middle of a photograph."""
    pixels = middle(read(path), SIDE)
    base, large = (score(probed(of_network(network), pixels)) for network in compared)
    figures = (base.rain_recall, large.rain_recall, base.detail_kept, large.detail_kept)
    return WorstRow(path.stem, *(round(figure, 4) for figure in figures))


def worst(rows: Sequence[WorstRow]) -> list[WorstRow]:
    """Return the `WORST` rows with the lowest rain recall of student-large, the lowest first."""
    return sorted(rows, key=lambda row: row.rain_recall_large)[:WORST]


def picture(rainy: RgbImage, row: WorstRow, compared: Sequence[Network]) -> Image.Image:
    """Return a picture of a photograph, rainy and derained by each network, at full size."""
    title = f"{row.photograph}: rain recall {row.rain_recall_base} and {row.rain_recall_large}"
    return sheet([Row(title, [rainy, *(network.derain(rainy) for network in compared)])])


if __name__ == "__main__":
    main()
