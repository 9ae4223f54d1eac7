"""The networks that benchmarks compare: the given model files, or all shipped ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from models.engine import Engine, choose_device, fast_dtype
from models.images import RgbImage
from models.modelfile import build, read_model_file
from models.shipped import DEFAULT_WEIGHTS, WEIGHTS


@dataclass(frozen=True, slots=True)
class Network:
    """A model file and an engine that runs it."""

    name: str
    digest: str
    path: Path
    engine: Engine

    @property
    def is_shipped(self) -> bool:
        """Whether this is the student that derain-batch uses on a fresh machine."""
        return self.path == DEFAULT_WEIGHTS.resolve()

    def derain(self, rainy: RgbImage) -> RgbImage:
        """Derain one photograph, (H, W, 3) uint8."""
        derained: RgbImage = self.engine.derain(rainy[None])[0]
        return derained

    def derain_floats(self, rainy: Tensor) -> Tensor:
        """Derain (B, 3, H, W) floats in [0, 1], rounded to 8 bits."""
        return self.engine.derain_floats(rainy)


def networks(paths: list[Path]) -> Iterator[Network]:
    """Load model files one at a time; by default the shipped ones."""
    device = choose_device("auto")
    for path in paths or shipped():
        model_file = read_model_file(path)
        engine = Engine(build(model_file, path.name), device, fast_dtype(device))
        yield Network(path.stem, model_file.digest[:12], path.resolve(), engine)


def shipped() -> list[Path]:
    """List the model files in `models/weights/`, which are weights with a config of the same name."""
    return sorted(path for path in WEIGHTS.glob("*.safetensors") if path.with_suffix(".json").exists())
