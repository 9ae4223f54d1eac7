"""Ten ways to poison a pool: through its photographs, its pseudo-labels, its bank of streaks or its teacher.

Poisoned photographs come in through ingest. Later poison stands for a hostile reviewer, a damaged workspace or a
broken network. The same training on a pool that is not poisoned is the baseline.
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

from flows import retrain as loop
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
"""Pixels by which pseudo-labels are moved down and to the right."""
FRAMES = 5
"""Number of frames that a tampered pseudo-label claims to be made of."""
ANYTHING = StreakRules(
    floor=0.0,
    least_strength=0.0,
    least_elongation=0.0,
    least_alignment=0.0,
    most_edges=1.0,
    least_structure=0.0,
)
"""Rules that accept every window into the bank of streaks."""

Files = Iterator[tuple[str, RgbImage]]
"""Photographs by their names in the source folder."""


@dataclass(frozen=True, slots=True)
class Scenes:
    """Photographs of the pools, clean and rainy."""

    clean: Sequence[RgbImage]
    rainy: Sequence[RgbImage]


@dataclass(frozen=True, slots=True)
class Poison:
    """One way to poison a pool; parts that are not given are not poisoned."""

    description: str
    """The poisoned part, in words."""
    photographs: Callable[[Scenes], Files]
    labels: Callable[[str], State[Any] | None] = lambda workspace: None
    """Poisons the pseudo-labels of a workspace before the retraining; returns the state of its curation."""
    retraining: Callable[[str], AbstractContextManager[None]] = lambda workspace: nullcontext()
    """Context that poisons the retraining of a workspace."""


def rainy(scenes: Scenes) -> Files:
    """Yield every rainy photograph once, each as its own source group."""
    return _each(scenes.rainy)


def nothing(scenes: Scenes) -> Files:
    """Yield no photographs."""
    return iter(())


def clean(scenes: Scenes) -> Files:
    """Yield the photographs without rain."""
    return _each(scenes.clean)


def duplicates(scenes: Scenes) -> Files:
    """Yield one rainy photograph repeatedly, as PNG and as JPEG."""
    for number in range(COPIES):
        yield f"copy{number}/1.{'jpg' if number % 2 else 'png'}", scenes.rainy[0]


def one_camera(scenes: Scenes) -> Files:
    """Yield one scene of one camera, moved on and under other rain each time."""
    for number in range(COPIES):
        frame = np.roll(scenes.clean[-1], number * SHIFT, 1)
        yield f"camera/{number:06d}.png", rain_on(frame, number)


def noise(scenes: Scenes) -> Files:
    """Yield noise: white, and blurred enough to pass for a photograph."""
    generator = np.random.default_rng(0)
    for number in range(COPIES):
        white = generator.integers(0, 256, (256, 256, 3)).astype(np.uint8)
        yield f"noise{number}/1.png", _blur(white, 1.0) if number % 2 else white


def tampered(wrong: Callable[[RgbImage], RgbImage]) -> Callable[[str], State[Any]]:
    """Accept every pseudo-label, overwrite its pixels, trust it fully, and record it as a temporal background."""

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
    """Curate, then curate again with a file of decisions that accepts every pseudo-label."""
    curate(teacher=teacher, return_state=True)
    rows = PseudoLabels(workspace).rows().select("crop_id", "judgement").unique("crop_id")
    decisions = [{**row, "decision": "accept"} for row in rows.iter_rows(named=True)]
    path = Path(workspace) / "decisions.json"
    path.write_text(json.dumps(decisions))
    return curate(teacher=teacher, decisions=str(path), return_state=True)


def inverted(label: RgbImage) -> RgbImage:
    """Return the negative of a pseudo-label."""
    return 255 - label


def shifted(label: RgbImage) -> RgbImage:
    """Shift a pseudo-label, wrapping around at the edges."""
    return np.roll(label, (SHIFT, SHIFT), (0, 1))


def blurred(label: RgbImage) -> RgbImage:
    """Blur all detail of a pseudo-label."""
    return _blur(label, 6.0)


def black_labels(workspace: str) -> State[Any]:
    """Make the pseudo-labels with a network that predicts black, and accept them all."""
    return accept_all(workspace, str(_write_black(workspace)))


@contextmanager
def black_teacher(workspace: str) -> Iterator[None]:
    """Replace the fine-tuning by a teacher that predicts black, bypassing its checks."""
    ended: State[Any] = Completed(message="black", data=SimpleNamespace(model=str(_write_black(workspace))))
    with patch.object(loop, "finetune", lambda **_: ended):
        yield


def black_network() -> ModelFile:
    """Build a network that always predicts black."""
    network = Student(PRESETS["tiny"])
    torch.nn.init.constant_(network.head.bias, 2.0)  # type: ignore[arg-type]
    return pack(network.eval(), {})


@contextmanager
def bank_of_edges(workspace: str) -> Iterator[None]:
    """Fill the bank of streaks with edges of the scenes, without any rules."""

    def harvested(start: ModelFile, photographs: Sequence[RgbImage], device: str) -> StreakHarvest:
        return harvest_streaks(photographs, [without_edges(each) for each in photographs], ANYTHING)

    with patch.object(finetuning_request, "harvested", harvested):
        yield


def without_edges(photograph: RgbImage) -> RgbImage:
    """Subtract a photograph's edges from it, as if a derainer had removed them."""
    floats = torch.from_numpy(photograph.copy()).float()
    edges = torch.hypot(*corner_gradients(floats.mean(-1)[None]))[0]
    below, right = photograph.shape[0] - edges.shape[0], photograph.shape[1] - edges.shape[1]
    remaining: RgbImage = (
        (floats - F.pad(edges, (0, right, 0, below))[..., None]).clamp(0, 255).byte().numpy()
    )
    return remaining


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
"""Poisons by name; the first one is the control."""


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
    ledger.commit([PseudoLabelRecord(**row) for row in rows.iter_rows(named=True)], replace=False)


def _write_black(workspace: str) -> Path:
    path = Path(workspace) / "black.safetensors"
    write_model_file(black_network(), path)
    return path
