"""Errors that a flow reports in one line: what was asked for cannot be done, or the world outside failed."""

from __future__ import annotations

from infra.errors import DerainError, UserError
from models.errors import ModelError


class PreflightFailed(UserError):
    """Something that was asked for cannot be done; the message names it and the way out."""


REFUSALS = (DerainError, ModelError)
"""Errors whose message is the one line that a user needs. Models stand on no storage, so they have a family
of their own."""
