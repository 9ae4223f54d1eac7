"""Errors that a flow reports in one line (`REFUSALS`): invalid requests, and failures of external systems."""

from __future__ import annotations

from infra.errors import DerainError, UserError
from models.errors import ModelError


class PreflightFailed(UserError):
    """Raised if a request cannot be fulfilled; the message names the problem and the remedy."""


REFUSALS = (DerainError, ModelError)
"""Errors whose message is the one line that a user needs. `models` does not depend on `infra`, so it has its own
family of errors."""
