"""A model as bytes (`ModelFile`); importing this does not import PyTorch, so that planning a run needs none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as bytes, as it is stored, sent to workers and registered."""

    weights: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """SHA-256 over config and weights, by which models are compared."""
        return hashlib.sha256(self.config + b"\0" + self.weights).hexdigest()
