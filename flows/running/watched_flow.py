"""`WatchedFlow`, a flow run whose final state stays known even if Prefect's server fails."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from prefect import Flow, State
from prefect.states import Cancelled

from flows.running.interrupts import INTERRUPTED_LINE, is_interrupt


@dataclass(slots=True)
class WatchedFlow:
    """Runs a flow and remembers how it ended.

    Prefect reports the final state to its server and raises if that fails, which would make completed work look
    like a failure.
    """

    flow: Flow[Any, Any]
    before_report: Callable[[State[Any]], None] | None = None
    """Called with the final state before Prefect reports it to its server."""
    state: State[Any] | None = None
    """State returned by the flow function; None until it returns."""

    def run(self, parameters: dict[str, Any]) -> State[Any]:
        """Run the flow and return its state, which is Cancelled after Ctrl-C."""
        return cast(State[Any], self.watched()(**parameters, return_state=True))

    def watched(self) -> Flow[Any, Any]:
        """Return a copy of the flow that records its final state here."""
        watched = self.flow.with_options()
        watched.fn = self._watching(self.flow.fn)
        return watched

    def _watching(self, function: Callable[..., State[Any]]) -> Callable[..., State[Any]]:
        @functools.wraps(function)
        def watching(*arguments: Any, **options: Any) -> State[Any]:
            try:
                self.state = function(*arguments, **options)
            except BaseException as error:
                if not is_interrupt(error):
                    raise
                self.state = Cancelled(message=INTERRUPTED_LINE)
            if self.before_report is not None:
                self.before_report(self.state)
            return self.state

        # Prefect validates parameters by their annotations, which are strings and would be resolved in this module.
        watching.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
        return watching
