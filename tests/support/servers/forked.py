"""Processes forked from one that has imported everything already, and has not started a thread.

A new interpreter would take seconds for each.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess

PRELOADED = ("mlflow", "tasks.promotion.transaction", "tests.support.worlds.batch_driver")


def forks() -> ForkServerContext:
    """The context whose queues and barriers such processes share."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def here() -> tuple[dict[str, str], str]:
    """This process's environment and folder: the server that forks was started under others."""
    return dict(os.environ), os.getcwd()


def start(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start a function of a module in a process that has this one's environment and folder."""
    process = forks().Process(target=run, args=(*here(), target, arguments))
    process.start()
    return process


def run(
    environment: dict[str, str], folder: str, target: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    """Call a function in an environment and a folder."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)
