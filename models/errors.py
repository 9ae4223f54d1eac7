"""Base class of the errors that models raise."""

from __future__ import annotations


class ModelError(Exception):
    """Base of errors about networks, weights files and training; the message is one line."""
