"""Outcomes of poisoned pools (`PoolRow`): the stage in which each ended, its figures, and its leftovers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from prefect import State

from benchmarks.learning.poisons import CONTROL
from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger, Promotion
from infra.catalog.pseudo_labels import PseudoLabels
from infra.tracking.registry import STUDENT
from models.modelfile import pack, write_model_file
from models.networks.architectures import build_network, preset

STAGES = ("curate", "finetune", "distill", "evaluate", "promote")
UNFORESEEN = "encountered an exception"
"""Part of Prefect's message about a flow that ended with a traceback."""


@dataclass(frozen=True, slots=True)
class PoolRow:
    """Outcome of one pool. Gains are psnr_y of a challenger minus that of the champion, in dB."""

    pool: str
    photographs: str
    steps: int
    learning_rate: float
    poisoned: str
    crops: int
    """Number of crops in the pool after ingest."""
    pseudo_labels: int
    """Number of accepted pseudo-labels."""
    stage: str
    """Stage in which the retraining ended."""
    state: str
    message: str
    psnr_y_gain: float | None
    """Gain of the network that the loop produced; None if there was none to compare."""
    last_state: str
    """Decision of promote on the last weights of the training, without selection; empty if nothing was trained."""
    last_psnr_y_gain: float | None
    promotions: int
    champion_before: str
    champion_after: str
    uncommitted: int
    """Number of Zarr groups in the workspace that no table names."""

    def __str__(self) -> str:
        return (
            f"{self.pool:10} {self.crops:3} crops, {self.pseudo_labels:3} pseudo-labels, {self.stage}"
            f" {self.state}: {self.message}\n{'':10} psnr_y {_signed(self.psnr_y_gain)}, last weights"
            f" {self.last_state} {_signed(self.last_psnr_y_gain)}; {self.promotions} promotions, champion"
            f" {self.champion_before} then {self.champion_after}"
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """Stage, state and message with which a flow ended."""

    stage: str
    state: str
    message: str


def ending_of(state: State[Any], ledger: Ledger) -> Ending:
    """Return the stage in which a retraining ended, and how."""
    line = line_of(state)
    if not state.is_completed():
        stage = line.partition(":")[0]
        return Ending(stage if stage in STAGES else "retrain", str(state.name), line)
    decided = decision(ledger.rows(STUDENT))
    if decided is None:
        return Ending("retrain", str(state.name), line)
    return Ending("promote", decided.decision.capitalize(), decided.reasons)


def gain(decided: Promotion | None) -> float | None:
    """Return the psnr_y of the challenger minus that of the champion; None if it was not measured."""
    gates = () if decided is None else decided.gates
    return next((round(0.0 - gate.loss, 3) for gate in gates if gate.name == "psnr_y"), None)


def decision(rows: Sequence[Promotion]) -> Promotion | None:
    """Return the last row with a decision of the gates."""
    return next((row for row in reversed(rows) if row.decision in ("promoted", "refused")), None)


def last_weights(workspace: Path) -> Path | None:
    """Return a file of the last weights, of the fine-tuning if there was one, or None.

    They are extracted from the checkpoint; a training that collapsed has none, so its best weights are returned.
    """
    for stage in ("finetune", "distill"):
        for folder in sorted(workspace.glob(f"{stage}/*")):
            checkpoint = folder / "checkpoint.pt"
            if checkpoint.exists():
                return _unpacked(checkpoint, workspace / "last.safetensors")
            trained = [path for path in folder.glob("student-*.safetensors") if path.is_file()]
            if trained:
                return trained[0]
    return None


def _unpacked(checkpoint: Path, path: Path) -> Path:
    loaded = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network = build_network(preset(loaded["config"]["preset"]))
    network.load_state_dict(loaded["average"])
    write_model_file(pack(network.eval(), {}), path)
    return path


def uncommitted(workspace: str) -> int:
    """Count the Zarr groups that no row of a table names."""
    named = set(PseudoLabels(workspace).rows()["zarr_group"].drop_nulls())
    named |= set(Pool(workspace).crops()["zarr_group"])
    found = {f"{path.parent.name}/{path.name}" for path in Path(workspace).glob("p*/*.zarr")}
    return len(found - named)


def without_paths(message: str, workspace: Path) -> str:
    """Make paths in a message relative to the folder of the workspace."""
    return " ".join(message.replace(f"{workspace.parent}/", "").split())


def failures(row: Mapping[str, str]) -> list[str]:
    """Return the problems of an outcome; only a pool that is not poisoned may give a new champion."""
    wrong = []
    if row["pool"] != CONTROL and (
        row["promotions"] != "0" or row["champion_before"] != row["champion_after"]
    ):
        wrong.append(f"{row['pool']}: made version {row['champion_after']} champion")
    texts = (row["message"], row["last_state"])
    wrong += [f"{row['pool']}: {each}" for each in texts if UNFORESEEN in each]
    if row["uncommitted"] != "0":
        wrong.append(f"{row['pool']}: {row['uncommitted']} groups of pixels that no table names")
    return wrong


def line_of(state: State[Any]) -> str:
    """Return the message of a flow in one line."""
    return " ".join((state.message or str(state.name)).split())


def _signed(decibels: float | None) -> str:
    return "not measured" if decibels is None else f"{decibels:+.3f} dB"
