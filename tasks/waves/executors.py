"""Executors of a stage: the protocol and the in-process one; for Dask see `tasks.waves.dask_executor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from infra.settings import Settings

SCHEDULER_GONE = "the Dask scheduler went away"


class Answer(Protocol):
    """The pending result of a call: a future of Dask or of `concurrent.futures`."""

    def add_done_callback(self, call: Callable[[Any], object], /) -> None:
        """Call `call` once the answer has arrived."""

    def result(self, timeout: float | None = None) -> Any:
        """Return the result, or raise the exception of the call."""


class Executor(Protocol):
    """Workers that run function calls."""

    @property
    def workers(self) -> int:
        """Number of calls that run at the same time now, at least 1; workers may join and leave."""

    @property
    def waves_ahead(self) -> int:
        """Number of waves of shards to submit ahead; 0: single shards."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        """Submit a call.

        Raises
        ------
        TransientError
            If there are no workers.
        """

    def submit_all(
        self, function: Callable[[Any], Any], items: Sequence[Any], keys: Sequence[Any], priority: int
    ) -> list[Answer]:
        """Submit a call per item under these keys; calls of higher priority overtake waiting ones.

        Raises
        ------
        TransientError
            If there are no workers.
        """

    def results(self, answers: Sequence[Answer], seconds: float) -> dict[Answer, Any]:
        """Return the results of calls that have ended, by answer; `Answer.result` is needed for those left out.

        Fetching many at once takes far less time than one after the other. `seconds` is the maximum time to wait.
        """


OpenExecutor = Callable[[Settings], AbstractContextManager[Executor]]


@dataclass(frozen=True, slots=True)
class InProcessExecutor:
    """An executor that runs each call in this process before `submit` returns."""

    workers = 1
    waves_ahead = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        """Run a call; Ctrl-C interrupts it at once."""
        answer: Future[Any] = Future()
        try:
            answer.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - raised by result(), as errors of a worker are
            answer.set_exception(error)
        return answer

    def submit_all(
        self, function: Callable[[Any], Any], items: Sequence[Any], keys: Sequence[Any], priority: int
    ) -> list[Answer]:
        """Run the calls one after the other."""
        return [self.submit(function, item) for item in items]

    def results(self, answers: Sequence[Answer], seconds: float) -> dict[Answer, Any]:
        """Return nothing: the answers already hold their results."""
        return {}


@contextmanager
def in_process(settings: Settings) -> Iterator[Executor]:
    """Yield an executor in this process: it starts at once but uses one core."""
    yield InProcessExecutor()
