"""Calls of our functions on the workers of a cluster: `submit`, `submit_all`, `results`, `ask_workers`.

Calls are sent as bytes, because a remote scheduler unpickles what it receives but has neither our code nor torch.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from distributed import CancelledError, Client, Future

T = TypeVar("T")


class _Call:
    """A call that is made by unpickling it, so that Dask is given no function that it would have to pickle."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._function, self._arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._function, self._arguments


def submit(
    client: Client,
    function: Callable[..., Any],
    *arguments: Any,
    resources: Mapping[str, float] | None = None,
) -> Future:
    """Submit a call of a function of this project.

    Parameters
    ----------
    client : Client
        From `infra.dask.cluster.connect`.
    function : callable
        A function at the top level of one of our modules, or a method of such an object.
    arguments : Any
        Arguments of the call; they must be picklable.
    resources : Mapping[str, float], optional
        Resources of a worker that the call takes while it runs, as in `dask worker --resources`.
    """
    packed = pickle.dumps(_Call(function, arguments))
    return client.submit(pickle.loads, packed, resources=dict(resources or {}), pure=False)


def submit_all(
    client: Client,
    function: Callable[[Any], Any],
    items: Sequence[Any],
    keys: Sequence[Any],
    priority: int,
    resources: Mapping[str, float],
) -> list[Future]:
    """Submit a call per item, all in one message; see `submit`.

    Parameters
    ----------
    client : Client
        From `infra.dask.cluster.connect`.
    function : callable
        Called with each item.
    items : sequence
        Arguments, one per call.
    keys : sequence
        Dask's names for the calls, each of them new.
    priority : int
        Calls of higher priority run before those that are already waiting.
    resources : Mapping[str, float]
        Resources of a worker that each call takes while it runs.
    """
    packed = [pickle.dumps(_Call(function, (item,))) for item in items]
    futures: list[Future] = client.map(
        pickle.loads,
        packed,
        key=list(keys),
        pure=False,
        priority=priority,
        resources=dict(resources),
    )
    return futures


def results(client: Client, futures: Sequence[Future], seconds: float) -> dict[Future, Any]:
    """Fetch the results of calls that have ended, all at once.

    Parameters
    ----------
    client : Client
        From `infra.dask.cluster.connect`.
    futures : sequence of Future
        From `submit`.
    seconds : float
        Maximum time to wait for the workers that hold the results.

    Returns
    -------
    dict
        Results by future, without those of calls that failed; empty if they could not be fetched in time.
    """
    ended = {future.key: future for future in futures if future.status == "finished"}

    if not ended:
        return {}

    async def fetch() -> dict[Any, Any]:
        fetched: dict[Any, Any] = await client.gather(ended, errors="skip", asynchronous=True)
        return fetched

    try:
        fetched = client.sync(fetch, callback_timeout=seconds)
    except (CancelledError, OSError):  # TimeoutError too; each future then raises its own error
        return {}
    return {ended[key]: result for key, result in fetched.items() if result is not None}


def ask_workers(client: Client, function: Callable[..., T], *arguments: Any) -> dict[str, T]:
    """Call one of our functions in every worker that is connected now, and return the results by worker address.

    Workers that leave before they answer are omitted. See `submit` for the parameters.
    """
    packed = pickle.dumps(_Call(function, arguments))
    answers: dict[str, T] = client.run(pickle.loads, packed, on_error="ignore")
    return answers
