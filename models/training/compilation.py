"""Use of torch.compile for training steps (`compile_network`), on machines that can compile."""

from __future__ import annotations

import logging
from subprocess import SubprocessError

import torch

from models.networks.base import Network

logger = logging.getLogger(__name__)
FAILURES = (RuntimeError, OSError, ImportError, SubprocessError)
"""Exceptions that torch.compile raises if a compiler, its headers or a writable folder is missing."""


def compile_network(network: Network) -> None:
    """Compile the costly method of a network in place; without a compiler, log one line and do nothing.

    Earlier copies of the network stay uncompiled: validation would compile once for each size of photograph.
    """
    reason = compile_problem()
    if reason:
        logger.warning("training without torch.compile: %s", reason)
        return
    compiled = torch.compile(getattr(network, network.costly_method), dynamic=False)
    setattr(network, network.costly_method, compiled)


def compile_problem() -> str:
    """Compile a trivial function; return the reason in one line if that fails, or else an empty string."""
    try:
        torch.compile(torch.neg, dynamic=False)(torch.ones(1))
    except FAILURES as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    return ""
