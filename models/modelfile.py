"""Model files (`read_model_file`, `build`): `<name>.safetensors` (fp16 weights) and `<name>.json` (config).

They contain no pickle. All earlier schemas can be read, so that rolling back to an older model always works:

======  ============================================================================================
schema  config
======  ============================================================================================
1       for a student: `sizes` and the facts of its training
2       for any network: its name, `architecture` and `sizes`, the facts of its training and the fields of
        `models.networks.descriptor.Descriptor`
======  ============================================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from models.errors import ModelError
from models.networks.architectures import (
    ARCHITECTURES,
    Architecture,
    architecture,
    build_network,
    preset_name,
)
from models.networks.base import Network, NetworkConfig
from models.networks.descriptor import describe
from models.networks.fitting import require_fit, require_plausible_sizes
from models.packed import ModelFile as ModelFile
from models.shipped import WEIGHTS

SCHEMA_VERSION = 2
"""Schema of new files; schema 1 can also be read."""
MAX_CONFIG_BYTES = 1 << 20
"""Largest size of a config in bytes; actual configs have a few thousand."""
STUDENT_BASE = WEIGHTS / "student-base.safetensors"
"""Weights file of the student that others are compared with; `models.shipped.DEFAULT` names the one in use."""


class ModelFileInvalid(ModelError):
    """Raised for a model file that cannot be used; the message names the file and the problem."""


def read_model_file(path: Path) -> ModelFile:
    """Read `<name>.safetensors` and the `<name>.json` next to it.

    Raises
    ------
    ModelFileInvalid
        If either is missing or invalid; the message names the file.
    """
    for part in (path, path.with_suffix(".json")):
        if not part.is_file():
            raise ModelFileInvalid(
                f"{part}: no such file; a model is <name>.safetensors with <name>.json next to it"
            )
    model_file = ModelFile(path.read_bytes(), path.with_suffix(".json").read_bytes())
    build(model_file, name=str(path))
    return model_file


def build(model_file: ModelFile, name: str = "model") -> Network:
    """Build the network a model file describes, in fp32, ready for inference.

    Parameters
    ----------
    model_file : ModelFile
        Weights and config.
    name : str
        Name of the model in error messages.

    Raises
    ------
    ModelFileInvalid
        If the config is unknown, the weights are damaged or not finite, or they do not fit each other.
    """
    described = _read_config(model_file.config, name)
    _check_weights(model_file.weights, described, name)
    try:
        weights = {key: _widened(value) for key, value in load(model_file.weights).items()}
        require_plausible_sizes(described["sizes"], weights)
        config = _config_of(described, name)
        require_fit(config, weights)
        network = build_network(config)
        network.load_state_dict(weights)
    except ModelFileInvalid:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ModelFileInvalid(
            f"{name}: the weights are damaged or do not fit the config ({reason})"
        ) from error
    return network.eval().requires_grad_(False)


def pack(network: Network, facts: dict[str, Any], name: str | None = None) -> ModelFile:
    """Turn a network into a model file with fp16 weights.

    Parameters
    ----------
    network : Network
        Network of one of `models.networks.architectures`.
    facts : dict
        Data and figures, stored in the config.
    name : str, optional
        Name of the model; by default that of its preset, or else of its architecture.

    Raises
    ------
    ValueError
        If a weight is not finite in fp16; the message names it.
    """
    packed = save({key: _narrowed(key, value) for key, value in network.state_dict().items()})
    config = {
        "schema_version": SCHEMA_VERSION,
        "name": name or preset_name(network.config),
        "weights_sha256": hashlib.sha256(packed).hexdigest(),
        **asdict(describe(network)),
        "sizes": asdict(network.config),
        "facts": facts,
    }
    return ModelFile(packed, json.dumps(config, indent=2).encode() + b"\n")


class NotRepresentable(ModelError, ValueError):
    """A weight is not finite, or too large for a model file: the training has diverged."""


def write_model_file(model_file: ModelFile, path: Path) -> None:
    """Write `<name>.safetensors` and `<name>.json`, each whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for target, data in ((path, model_file.weights), (path.with_suffix(".json"), model_file.config)):
        partial = target.with_name(target.name + ".partial")
        partial.write_bytes(data)
        partial.replace(target)


def _narrowed(key: str, value: Tensor) -> Tensor:
    """Convert floats to fp16; leave counts, such as those of BatchNorm, unchanged."""
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    narrow = value.to(torch.float16)
    if not narrow.isfinite().all():
        raise NotRepresentable(
            f"{key}: holds a value that fp16 cannot represent (infinite, NaN, or above 65504)"
        )
    return narrow


def _widened(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _check_weights(weights: bytes, described: Mapping[str, Any], name: str) -> None:
    """Compare the weights with the checksum in the config: safetensors itself does not detect a flipped bit."""
    expected = described.get("weights_sha256")
    if expected is not None and hashlib.sha256(weights).hexdigest() != expected:
        raise ModelFileInvalid(f"{name}: the weights are damaged: their checksum is not that of the config")


def _read_config(config: bytes, name: str) -> dict[str, Any]:
    """Read a config of a schema and an architecture that this version knows."""
    try:
        if len(config) > MAX_CONFIG_BYTES:
            raise ValueError(f"{len(config):,} bytes")
        described = dict(json.loads(config))
        version, found, _ = described["schema_version"], described["architecture"], dict(described["sizes"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # RecursionError: nested too deeply
        raise ModelFileInvalid(f"{name}: the config is not a model config ({error!r})") from error
    if found not in _architectures(version):
        raise ModelFileInvalid(
            f"{name}: config of schema {version!r}, architecture {found!r}; this version reads"
            f" schema 1 for student and schema {SCHEMA_VERSION} for {', '.join(ARCHITECTURES)}"
        )
    return described


def _config_of(described: Mapping[str, Any], name: str) -> NetworkConfig:
    found = described["architecture"]
    try:
        return _sizes(architecture(found), described["sizes"])
    except (TypeError, AttributeError) as error:
        raise ModelFileInvalid(f"{name}: the config's sizes do not describe a {found} ({error})") from error


def _architectures(schema_version: object) -> list[str]:
    """Return the architectures that a schema can describe; none if there is no such schema."""
    if schema_version == 1:
        return ["student"]
    return list(ARCHITECTURES) if schema_version == SCHEMA_VERSION else []


def _sizes(kind: Architecture, sizes: Mapping[str, Any]) -> NetworkConfig:
    """Build the sizes from their JSON; lists become tuples."""
    return kind.config(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in sizes.items()}
    )
