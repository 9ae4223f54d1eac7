"""Where the shards of a stage are worked on: this process, or Dask workers (see `tasks.waves.dask_executor`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from infra.settings import Settings

SCHEDULER_GONE = "the Dask scheduler went away"


class Answer(Protocol):
    """What a worker will return: a future of Dask or of `concurrent.futures`."""

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        """Call this once the answer is there."""

    def result(self, timeout: float | None = None) -> Any:
        """Return it, or raise what the work raised."""


class Executor(Protocol):
    """Workers that take function calls."""

    @property
    def workers(self) -> int:
        """How many calls are worked on at the same time."""

    @property
    def waves_ahead(self) -> int:
        """How many waves of shards it is handed at a time; 0: single shards."""

    def submit(
        self, function: Callable[..., Any], *arguments: Any, key: Any = None, priority: int = 0
    ) -> Answer:
        """Hand over a call; higher priorities go before what waits already.

        Raises
        ------
        TransientError
            If there is nobody to take it.
        """


OpenExecutor = Callable[[Settings], AbstractContextManager[Executor]]


@dataclass(frozen=True, slots=True)
class InProcessExecutor:
    """The process itself, which makes each call before it returns from `submit`."""

    workers = 1
    waves_ahead = 0

    def submit(
        self, function: Callable[..., Any], *arguments: Any, key: Any = None, priority: int = 0
    ) -> Answer:
        """Make a call; Ctrl-C interrupts it at once."""
        answer: Future[Any] = Future()
        try:
            answer.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - raised by result(), as a worker's errors are
            answer.set_exception(error)
        return answer


@contextmanager
def in_process(settings: Settings) -> Iterator[Executor]:
    """Yield this process as the only worker: it starts at once, but uses one core."""
    yield InProcessExecutor()
