"""The networks that ship with the package, by name; importing this does not import PyTorch."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import ModelError
from models.packed import ModelFile

WEIGHTS = Path(__file__).parent / "weights"
DEFAULT = "student-large"
"""Name of the network that derains by default."""
DEFAULT_WEIGHTS = WEIGHTS / f"{DEFAULT}.safetensors"


class NetworkUnknown(ModelError):
    """Raised if neither a shipped network nor a weights file has the given name; the message suggests one."""


@dataclass(frozen=True, slots=True)
class ShippedNetwork:
    """A network that ships with the package."""

    name: str
    path: Path
    """The `.safetensors` file; the config has the same name and ends in `.json`."""
    config: dict[str, Any]

    def read(self) -> ModelFile:
        """Read the two files; they came with the package, so they are not checked."""
        return ModelFile(self.path.read_bytes(), self.path.with_suffix(".json").read_bytes())


def shipped_networks() -> list[ShippedNetwork]:
    """Return the networks that ship, the default one first and the others by name."""
    configs = sorted(WEIGHTS.glob("*.json"), key=lambda path: (path.stem != DEFAULT, path.stem))
    return [
        ShippedNetwork(path.stem, path.with_suffix(".safetensors"), json.loads(path.read_bytes()))
        for path in configs
    ]


def network_path(model: str | Path) -> Path:
    """Return the weights file of a network.

    Parameters
    ----------
    model : str or Path
        Name of a network that ships, or path of a `.safetensors` file.

    Raises
    ------
    NetworkUnknown
        If it is neither; the message suggests the nearest name.
    """
    names = [path.stem for path in sorted(WEIGHTS.glob("*.json"))]
    if str(model) in names:
        return WEIGHTS / f"{model}.safetensors"
    path = Path(model).expanduser()
    if path.is_file():
        return path
    raise NetworkUnknown(
        f"{model}: no network of this name ships, and there is no such file; {_suggestion(str(model), names)}"
    )


def _suggestion(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else f"these ship: {', '.join(names)}"
