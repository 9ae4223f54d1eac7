"""Base of the errors that models raise on purpose."""

from __future__ import annotations


class ModelError(Exception):
    """A network, its weights file or its training cannot be what was asked for; the message is one line."""
