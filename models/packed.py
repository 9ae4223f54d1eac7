"""A model as bytes; nothing here imports PyTorch, so that a run can plan before it needs it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as bytes: what is stored, sent to workers and registered."""

    weights: bytes
    config: bytes

    @property
    def digest(self) -> str:
        """SHA-256 over config and weights: what "the same model" means."""
        return hashlib.sha256(self.config + b"\0" + self.weights).hexdigest()
