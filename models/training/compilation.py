"""torch.compile for training steps, where the machine can compile at all."""

from __future__ import annotations

import logging
from subprocess import SubprocessError

import torch

from models.networks.base import Network

logger = logging.getLogger(__name__)
FAILURES = (RuntimeError, OSError, ImportError, SubprocessError)
"""Exceptions of torch.compile if a compiler, its headers or a writable folder is missing."""


def compile_network(network: Network) -> None:
    """Compile the costly method of a network in place; without a compiler, log one line and leave it as it is.

    Copies made before stay uncompiled: validation sees photographs of many sizes, each of which would be compiled.
    """
    reason = why_not()
    if reason:
        logger.warning("training without torch.compile: %s", reason)
        return
    compiled = torch.compile(getattr(network, network.costly_method), dynamic=False)
    setattr(network, network.costly_method, compiled)


def why_not() -> str:
    """Compile a trivial function; return in one line why that fails, or nothing."""
    try:
        torch.compile(torch.neg, dynamic=False)(torch.ones(1))
    except FAILURES as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""
