"""Measure the gain of AFR: three networks with and without it, trained for equal steps on the same batches.

    python -m benchmarks.learning.afr_hosts --data DATA --steps 200

The hosts of AFR are AFR-Net itself, a plain U-Net and DRD-Net, in their `slim` sizes. Scores are on the validation
split. Writes `results/afr_hosts.csv`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from benchmarks.common import unet
from benchmarks.common.brief_training import Budget, scored, trained
from benchmarks.common.tables import write_table
from models.evaluation.validation import render_validation
from models.networks import afr_net
from models.networks.architectures import build_network, preset
from models.networks.base import Network, NetworkConfig
from models.networks.descriptor import count_gmac, count_parameters
from models.rain.banks import load_training_data

RESULTS = Path(__file__).parents[1] / "results" / "afr_hosts.csv"


@dataclass(frozen=True, slots=True)
class HostRow:
    """One host, with or without AFR. Scores are psnr_y in dB."""

    host: str
    afr_rounds: int
    parameters: int
    gmac: float
    steps: int
    seconds: float
    """Processor time of one thread."""
    light: float
    heavy: float
    fine: float
    faint: float
    drops: float
    none: float


def hosts() -> list[tuple[str, int, NetworkConfig]]:
    """Return name, rounds and sizes of each host without and with AFR."""
    slim = preset("afr-net-slim")
    assert isinstance(slim, afr_net.AfrNetConfig)
    return [
        ("AFR-Net", 0, replace(slim, rounds=0)),
        ("AFR-Net", slim.rounds, slim),
        ("U-Net", 0, unet.PRESETS["slim"]),
        ("U-Net", 2, unet.PRESETS["slim-afr"]),
        ("DRD-Net", 0, preset("drd-net-slim")),
        ("DRD-Net", 1, preset("drd-net-slim-afr")),
    ]


def new_network(config: NetworkConfig) -> Network:
    """Build a host with new weights."""
    return unet.UNet(config) if isinstance(config, unet.UNetConfig) else build_network(config)


def main() -> None:
    """Parse the command line, train, score, write and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.afr_hosts", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_training_data(arguments.data, held_out=False)
    pairs = render_validation(load_training_data(arguments.data, held_out=True), 12)
    budget = Budget(steps=arguments.steps, batch=arguments.batch, crop=arguments.crop)
    rows = []
    for host, rounds, config in hosts():
        torch.manual_seed(0)
        counted = new_network(config)
        parameters, gmac = count_parameters(counted), round(count_gmac(counted), 3)
        started = time.process_time()
        network, steps = trained(new_network(config), f"{host}, {rounds} rounds", data, budget)
        seconds = round(time.process_time() - started, 1)
        scores = {kind: round(value, 2) for kind, value in asdict(scored(network, pairs)).items()}
        rows.append(HostRow(host, rounds, parameters, gmac, steps, seconds, **scores))
        print(rows[-1], flush=True)
    write_table(rows, RESULTS)


if __name__ == "__main__":
    main()
