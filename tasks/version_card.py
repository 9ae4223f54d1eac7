"""The card of a model to be registered (`card_of`): from its config, with photographs that it derains."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from infra.tracking.version_card import VersionCard
from models.packed import ModelFile
from tasks.media.samples import photograph, rain_on

PICTURES = ("astronaut", "coffee")
"""Photographs of scikit-image that are shown, with rain added."""
SIDE = 256
"""Side in pixels of the squares that are shown."""


def card_of(model: ModelFile, text: str | None = None) -> VersionCard:
    """Describe a model.

    Parameters
    ----------
    model : ModelFile
        Weights and config.
    text : str, optional
        Model card in Markdown. Default: made from the config.
    """
    config = json.loads(model.config)
    facts = {name: str(config[name]) for name in ("architecture", "parameters", "gmac") if name in config}
    scores = config.get("facts", {}).get("validation_psnr_y", {})
    return VersionCard(
        text=text or _text(config),
        tags={"digest": model.digest, **facts},
        figures={f"validation_psnr_y/{kind}": float(score) for kind, score in scores.items()},
        picture=_before_after(model),
    )


def _text(config: dict[str, Any]) -> str:
    facts = config.get("facts", {})
    train, scores = facts.get("train", {}), facts.get("validation_psnr_y", {})
    lines = [
        f"# {config.get('name', 'network')}",
        f"{config.get('architecture')}, {config.get('parameters', 0):,} parameters,"
        f" {config.get('gmac')} GMAC for a photograph of 512x512.",
    ]
    if train:
        begun = f" from {train['init']}" if train.get("init") else ""
        lines.append(
            f"**Training.** Preset `{train.get('preset')}`{begun}, recipe `{train.get('recipe')}`,"
            f" best at step {facts.get('step')} of {train.get('steps')}."
        )
    if scores:
        figures = ", ".join(f"{kind} {score:.2f}" for kind, score in scores.items())
        lines.append(f"**Validation.** psnr_y {figures} dB.")
    return "\n\n".join(lines) + "\n"


def _before_after(model: ModelFile) -> bytes:
    """Return photographs with rain, and below each its derained version, as JPEG."""
    from models.opening import open_engine  # imports PyTorch only if needed

    rainy = np.stack([rain_on(photograph(name)[:SIDE, :SIDE], seed) for seed, name in enumerate(PICTURES)])
    derained = open_engine(model, "cpu").derain(rainy)
    columns = [np.concatenate(pair, axis=0) for pair in zip(rainy, derained, strict=True)]
    buffer = BytesIO()
    Image.fromarray(np.concatenate(columns, axis=1)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
