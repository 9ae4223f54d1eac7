"""Promotions and rollbacks in separate processes that are killed before they finish."""

from __future__ import annotations

import os
from collections.abc import Callable

from infra.catalog.promotions import Gate
from infra.failpoints import VARIABLE
from infra.settings import Settings
from tasks.promotion import transaction as promotion
from tasks.promotion.gates import Verdict
from tests.support.servers import forked

GATE = Gate("psnr_y", 3, 30.0, 31.0, -1.0, -1.2, -0.8, 0.1, True)
PATIENCE = 300


def killed(target: Callable[..., None], settings: Settings, *arguments: str) -> int | None:
    """Run a function in another process; return its exit code."""
    process = forked.start(target, settings, *arguments)
    process.join(PATIENCE)
    return process.exitcode


def promote_to_the_end(settings: Settings, challenger: str, place: str) -> None:
    """Promote a challenger, which counts as better in any case, until a failpoint kills the process."""
    os.environ[VARIABLE] = f"{place}:self"
    promotion._compared = lambda *arguments: (Verdict((GATE,), (), (GATE,)), None)
    promotion.promote_challenger(settings, challenger, "killed")


def roll_back_to_the_end(settings: Settings, place: str) -> None:
    """Roll back until a failpoint kills the process."""
    os.environ[VARIABLE] = f"{place}:self"
    promotion.roll_back(settings, None, "killed")
