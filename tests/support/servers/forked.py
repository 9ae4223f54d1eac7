"""Processes forked from one that has already imported everything and has started no thread.

A new interpreter would take seconds per process.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess

PRELOADED = ("mlflow", "tasks.promotion.transaction", "tests.support.worlds.batch_driver")


def forks() -> ForkServerContext:
    """Return the context whose queues and barriers such processes share."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return context


def here() -> tuple[dict[str, str], str]:
    """Return the environment and folder of this process, which may differ from those of the fork server."""
    return dict(os.environ), os.getcwd()


def start(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start a module-level function in a process with this process's environment and folder."""
    process = forks().Process(target=run, args=(*here(), target, arguments))
    process.start()
    return process


def run(
    environment: dict[str, str], folder: str, target: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    """Call a function with an environment and a current folder."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)
