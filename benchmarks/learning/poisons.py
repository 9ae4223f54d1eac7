"""Ten ways to poison a pool: in its photographs, in its pseudo-labels, in its bank of streaks, in its teacher.

What lies in photographs comes in through ingest; what comes later is what a hostile reviewer, a damaged workspace
or a broken network would leave there. The result of the same training on a pool that is not poisoned is the
baseline.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import torch
from PIL import Image as Pillow
from PIL import ImageFilter
from prefect import State
from prefect.states import Completed
from torch.nn import functional as F

from flows import retrain as stages
from flows.curate import curate
from infra.catalog.pool import Pool
from infra.catalog.pseudo_labels import PseudoLabels
from infra.records import PseudoLabelRecord
from infra.storage.zarr_store import open_array
from models.images import RgbImage
from models.modelfile import ModelFile, pack, write_model_file
from models.networks.student import PRESETS, Student
from models.rain.streak_mining import StreakHarvest, StreakRules, harvest_streaks
from models.structure_tensor import corner_gradients
from tasks.media.samples import rain_on
from tasks.training import finetuning_request

COPIES = 12
SHIFT = 16
"""Pixels, down and to the right."""
FRAMES = 5
"""Frames that a tampered pseudo-label claims to be made of."""
ANYTHING = StreakRules(
    floor=0.0,
    least_strength=0.0,
    least_elongation=0.0,
    least_alignment=0.0,
    most_edges=1.0,
    least_structure=0.0,
)
"""Rules of the bank of streaks that refuse nothing."""

Files = Iterator[tuple[str, RgbImage]]
"""Photographs by their names in the source folder."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """The material of pools: photographs, and others under rain."""

    clean: Sequence[RgbImage]
    rainy: Sequence[RgbImage]


@dataclass(frozen=True, slots=True)
class Poison:
    """One way to poison a pool; what is not said is honest."""

    description: str
    """Description of the poisoned part."""
    photographs: Callable[[Scenes], Files]
    labels: Callable[[str], State[Any] | None] = lambda workspace: None
    """Poisons the pseudo-labels of a workspace, before the retraining; returns how a curation for it ended."""
    retraining: Callable[[str], AbstractContextManager[None]] = lambda workspace: nullcontext()
    """Context in which a workspace is retrained with the poison."""


def rainy(scenes: Scenes) -> Files:
    """Give every rainy photograph once, each a source group."""
    return _each(scenes.rainy)


def nothing(scenes: Scenes) -> Files:
    """Give none."""
    return iter(())


def clean(scenes: Scenes) -> Files:
    """Give the photographs without rain."""
    return _each(scenes.clean)


def duplicates(scenes: Scenes) -> Files:
    """Give one rainy photograph again and again, as the same file and as JPEG."""
    for number in range(COPIES):
        yield f"copy{number}/1.{'jpg' if number % 2 else 'png'}", scenes.rainy[0]


def one_camera(scenes: Scenes) -> Files:
    """Give one scene by one camera, moved on and under other rain each time."""
    for number in range(COPIES):
        frame = np.roll(scenes.clean[-1], number * SHIFT, 1)
        yield f"camera/{number:06d}.png", rain_on(frame, number)


def noise(scenes: Scenes) -> Files:
    """Give noise: white, and blurred so far that it passes for a photograph."""
    generator = np.random.default_rng(0)
    for number in range(COPIES):
        white = generator.integers(0, 256, (256, 256, 3)).astype(np.uint8)
        yield f"noise{number}/1.png", _blur(white, 1.0) if number % 2 else white


def tampered(wrong: Callable[[RgbImage], RgbImage]) -> Callable[[str], State[Any]]:
    """Accept every pseudo-label, write something else over its pixels, trust it, and call it a background."""

    def tamper(workspace: str) -> State[Any]:
        state = accept_all(workspace)
        for row in _accepted(workspace):
            places = (slice(0, row["height"]), slice(0, row["width"]))
            label, confidence = (
                open_array(f"{workspace}/{row['pseudo_group']}/{name}", read_only=False)
                for name in ("pseudo_label", "confidence")
            )
            pixels, sure = np.asarray(label[row["pseudo_row"]]), np.asarray(confidence[row["pseudo_row"]])
            pixels[places], sure[places] = wrong(pixels[places]), 255
            label[row["pseudo_row"]], confidence[row["pseudo_row"]] = pixels, sure
        _call_backgrounds(workspace)
        return state

    return tamper


def accept_all(workspace: str, teacher: str = "models:/derain-student@champion") -> State[Any]:
    """Curate, and curate again with a file of decisions that accepts whatever the networks made."""
    curate(teacher=teacher, return_state=True)
    rows = PseudoLabels(workspace).rows().select("crop_id", "judgement").unique("crop_id")
    decisions = [{**row, "decision": "accept"} for row in rows.iter_rows(named=True)]
    path = Path(workspace) / "decisions.json"
    path.write_text(json.dumps(decisions))
    return curate(teacher=teacher, decisions=str(path), return_state=True)


def inverted(label: RgbImage) -> RgbImage:
    """Return the negative."""
    return 255 - label


def shifted(label: RgbImage) -> RgbImage:
    """Move a picture, what leaves it coming in on the other side."""
    return np.roll(label, (SHIFT, SHIFT), (0, 1))


def blurred(label: RgbImage) -> RgbImage:
    """Take all detail away."""
    return _blur(label, 6.0)


def black_labels(workspace: str) -> State[Any]:
    """Let a network that takes everything make the pseudo-labels, and accept them all."""
    return accept_all(workspace, str(_write_black(workspace)))


@contextmanager
def black_teacher(workspace: str) -> Iterator[None]:
    """Let the fine-tuning end with a teacher that predicts black, past all that it would refuse."""
    ended: State[Any] = Completed(message="black", data=SimpleNamespace(model=str(_write_black(workspace))))
    with patch.object(stages, "finetune", lambda **_: ended):
        yield


def takes_everything() -> ModelFile:
    """Make a network that predicts black whatever it sees."""
    network = Student(PRESETS["tiny"])
    torch.nn.init.constant_(network.head.bias, 2.0)  # type: ignore[arg-type]
    return pack(network.eval(), {})


@contextmanager
def bank_of_edges(workspace: str) -> Iterator[None]:
    """Put edges of the scenes where the streaks of the photographs would be, in front of all rules."""

    def harvested(start: ModelFile, photographs: Sequence[RgbImage], device: str) -> StreakHarvest:
        return harvest_streaks(photographs, [without_edges(each) for each in photographs], ANYTHING)

    with patch.object(finetuning_request, "harvested", harvested):
        yield


def without_edges(photograph: RgbImage) -> RgbImage:
    """Subtract the strength of a photograph's edges from it, so that they are what a derainer took away."""
    floats = torch.from_numpy(photograph.copy()).float()
    edges = torch.hypot(*corner_gradients(floats.mean(-1)[None]))[0]
    below, right = photograph.shape[0] - edges.shape[0], photograph.shape[1] - edges.shape[1]
    taken: RgbImage = (floats - F.pad(edges, (0, right, 0, below))[..., None]).clamp(0, 255).byte().numpy()
    return taken


CONTROL = "control"
POISONS: Mapping[str, Poison] = {
    CONTROL: Poison("nothing", rainy),
    "empty": Poison("no photographs", nothing),
    "clean": Poison("photographs without rain", clean),
    "duplicates": Poison("one photograph twelve times", duplicates),
    "one-camera": Poison("one scene twelve times, moved on and under other rain each time", one_camera),
    "noise": Poison("noise, white and blurred", noise),
    "inverted": Poison("all pseudo-labels accepted, then inverted", rainy, tampered(inverted)),
    "shifted": Poison(f"all pseudo-labels accepted, then moved by {SHIFT} pixels", rainy, tampered(shifted)),
    "blurred": Poison("all pseudo-labels accepted, then blurred", rainy, tampered(blurred)),
    "black": Poison(
        "a teacher that predicts black: its pseudo-labels accepted, its lessons distilled",
        rainy,
        black_labels,
        black_teacher,
    ),
    "edges": Poison("edges of the scenes as the bank of streaks", rainy, retraining=bank_of_edges),
}
"""By name; the first is none."""


def _each(photographs: Sequence[RgbImage]) -> Files:
    return ((f"scene{number}/1.png", each) for number, each in enumerate(photographs))


def _blur(picture: RgbImage, radius: float) -> RgbImage:
    return np.asarray(Pillow.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))


def _accepted(workspace: str) -> list[dict[str, Any]]:
    """Read the rows of the accepted pseudo-labels, with the valid size of their crops."""
    rows = PseudoLabels(workspace).accepted().select("crop_id", "zarr_group", "zarr_row")
    named = rows.rename({"zarr_group": "pseudo_group", "zarr_row": "pseudo_row"})
    return named.join(Pool(workspace).crops(), on="crop_id").to_dicts()


def _call_backgrounds(workspace: str) -> None:
    """Record accepted pseudo-labels as temporal backgrounds, the only ones that are targets of a fine-tuning."""
    ledger = PseudoLabels(workspace)
    rows = ledger.accepted().with_columns(frames=pl.lit(FRAMES), run_id=pl.col("run_id") + "-tampered")
    ledger.commit([PseudoLabelRecord(**row) for row in rows.iter_rows(named=True)])


def _write_black(workspace: str) -> Path:
    path = Path(workspace) / "black.safetensors"
    write_model_file(takes_everything(), path)
    return path
