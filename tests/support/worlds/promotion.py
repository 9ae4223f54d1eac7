"""Students whose ranking is certain, and a small validation set to measure it on."""

from __future__ import annotations

import csv
from hashlib import sha256
from pathlib import Path

import torch
from PIL import Image

from infra.catalog.promotions import Ledger
from infra.limits import GateLimits
from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from models.modelfile import ModelFile, build, pack, read_model_file
from models.rain.streaks import FINE, MEDIUM
from models.shipped import DEFAULT_WEIGHTS
from tasks.media.samples import rain_on
from tasks.promotion.validation_manifest import COLUMNS
from tasks.resolved_model import resolve_model
from tests.support.samples.images import encoded
from tests.support.samples.photographs import PHOTOGRAPHS, photograph
from tests.support.samples.students import random_student

SIDE = 64
DENSE = (FINE, FINE, FINE, MEDIUM)
"""Rain dense enough to fall on even the smallest photograph."""
PAIRS = 3
"""Pairs in the validation set: the fewest that the limits of the tests allow."""


def with_strength(strength: float) -> ModelFile:
    """Return the shipped student, scaled to remove this share of the streaks that it detects; 0 changes nothing."""
    network = build(read_model_file(DEFAULT_WEIGHTS))
    with torch.no_grad():
        for part in (network.head.weight, network.head.bias):
            part.mul_(strength)
    return pack(network, {"strength": strength})


def write_validation(folder: Path, pairs: int = PAIRS) -> Path:
    """Write a manifest of small photographs under rain, one scene each; return its path."""
    rows = []
    for number, name in enumerate(PHOTOGRAPHS[:pairs]):
        clean = photograph(name, SIDE)
        row = {"scene": name}
        for side, pixels in (("rainy", rain_on(clean, number, DENSE)), ("clean", clean)):
            data = encoded(Image.fromarray(pixels), "PNG")
            row |= {side: f"{side}/{name}.png", f"{side}_sha256": sha256(data).hexdigest()}
            (folder / side).mkdir(parents=True, exist_ok=True)
            (folder / side / f"{name}.png").write_bytes(data)
        rows.append(row)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def settings_of(root: Path, **limits: float) -> Settings:
    return Settings(
        workspace=str(root / "workspace"),
        validation=str(root / "validation" / "manifest.csv"),
        device="cpu",
        gates=GateLimits(**{"min_images": PAIRS, "min_scenes": 2, **limits}),
        _env_file=None,
    )


def found(settings: Settings, champion: ModelFile) -> Registry:
    """Return a registry whose version 1 is champion."""
    registry = Registry(settings)
    registry.register_shipped(champion.weights, champion.config)
    return registry


def add(registry: Registry, challenger: ModelFile) -> str:
    """Register a challenger; return its URL."""
    number = registry.register_challenger(STUDENT, challenger.weights, challenger.config)
    return f"models:/{STUDENT}/{number}"


def tiny(seed: int) -> ModelFile:
    return pack(random_student(seed=seed), {"seed": seed})


def champions(settings: Settings, first: ModelFile, *others: ModelFile) -> list[str]:
    """Register a champion and other versions; return their URLs."""
    registry = Registry(settings)
    registry.register_shipped(first.weights, first.config)
    return [f"models:/{STUDENT}/1", *(add(registry, other) for other in others)]


def serving(settings: Settings) -> str:
    """Return the version that derain-batch would use."""
    return resolve_model(settings, CHAMPION_URL).version


def decisions(settings: Settings) -> list[tuple[str, str | None, str]]:
    rows = Ledger(settings.workspace).rows(STUDENT)
    return [(row.decision, row.from_version, row.to_version) for row in rows]
