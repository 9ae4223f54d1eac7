"""Model files: `<name>.safetensors` (fp16 weights) beside `<name>.json` (what to build); no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save

from models.student import Student, StudentConfig

SCHEMA_VERSION = 1
SHIPPED = Path(__file__).parent / "weights" / "student-base.safetensors"
"""The student that comes with the package."""


class ModelFileInvalid(Exception):
    """A model file that cannot be used; the message names it and what is wrong."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as bytes: what is stored, sent to workers and registered."""

    weights: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """SHA-256 over config and weights: what "the same model" means."""
        return hashlib.sha256(self.config + b"\0" + self.weights).hexdigest()


def read_model_file(path: Path) -> ModelFile:
    """Read `<name>.safetensors` and the `<name>.json` beside it.

    Raises
    ------
    ModelFileInvalid
        If either is missing or not what it should be; names the file.
    """
    for part in (path, path.with_suffix(".json")):
        if not part.is_file():
            raise ModelFileInvalid(
                f"{part}: no such file; a model is <name>.safetensors with <name>.json beside it"
            )
    model_file = ModelFile(path.read_bytes(), path.with_suffix(".json").read_bytes())
    build(model_file, name=str(path))
    return model_file


def build(model_file: ModelFile, name: str = "model") -> Student:
    """Build the network a model file describes, in fp32, ready for inference.

    Parameters
    ----------
    model_file : ModelFile
        Weights and config.
    name : str
        What to call it in an error.

    Raises
    ------
    ModelFileInvalid
        If the config is unknown, the weights are damaged, or they do not fit each other.
    """
    config = _parse_config(model_file.config, name)
    _check_weights(model_file, name)
    try:
        student = Student(config)
        student.load_state_dict({key: value.float() for key, value in load(model_file.weights).items()})
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelFileInvalid(
            f"{name}: the weights are damaged or do not fit the config ({reason})"
        ) from error
    return student.eval().requires_grad_(False)


def student_config(model_file: ModelFile, name: str = "model") -> StudentConfig:
    """Return the sizes a model file describes."""
    return _parse_config(model_file.config, name)


def pack(student: Student, facts: dict[str, Any]) -> ModelFile:
    """Turn a student into a model file with fp16 weights; `facts` (data, metrics) go into the config."""
    weights = {
        key: value.detach().to(torch.float16).cpu().contiguous()
        for key, value in student.state_dict().items()
    }
    packed = save(weights)
    config = {
        "schema_version": SCHEMA_VERSION,
        "architecture": "student",
        "weights_sha256": hashlib.sha256(packed).hexdigest(),
        "sizes": asdict(student.config),
        "receptive_radius": student.config.receptive_radius,
        "size_multiple": student.config.size_multiple,
        "parameters": sum(value.numel() for value in weights.values()),
        "facts": facts,
    }
    return ModelFile(packed, json.dumps(config, indent=2).encode() + b"\n")


def write_model_file(model_file: ModelFile, path: Path) -> None:
    """Write `<name>.safetensors` and `<name>.json`, each whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, data in ((path, model_file.weights), (path.with_suffix(".json"), model_file.config)):
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(data)
        partial.replace(target)


def _check_weights(model_file: ModelFile, name: str) -> None:
    """Compare the weights with the checksum in the config: safetensors itself does not see a flipped bit."""
    expected = json.loads(model_file.config).get("weights_sha256")
    if expected is not None and hashlib.sha256(model_file.weights).hexdigest() != expected:
        raise ModelFileInvalid(f"{name}: the weights are damaged: not those that its config was written for")


def _parse_config(config: bytes, name: str) -> StudentConfig:
    try:
        read = json.loads(config)
        version, architecture, sizes = read["schema_version"], read["architecture"], read["sizes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileInvalid(f"{name}: the config is not a model config ({error!r})") from error
    if version != SCHEMA_VERSION or architecture != "student":
        raise ModelFileInvalid(
            f"{name}: config of schema {version!r}, architecture {architecture!r};"
            f" this version reads schema {SCHEMA_VERSION}, architecture 'student'"
        )
    try:
        tuples: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in sizes.items()
        }
        return StudentConfig(**tuples)
    except (TypeError, AttributeError) as error:
        raise ModelFileInvalid(f"{name}: the config's sizes do not describe a student ({error})") from error
