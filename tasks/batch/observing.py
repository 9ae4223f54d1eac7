"""Observers of a derain-batch run, which show its progress and choose its executor; for Prefect, `FlowObserver`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from infra.settings import Settings
from tasks.batch.planning.plan import Plan, PlanCounts
from tasks.waves.executors import Executor
from tasks.waves.tally import Tally


class ShowsProgress(Protocol):
    """Shows the progress of a run."""

    def show(self, tally: Tally) -> None:
        """Show the results so far."""


class RunObserver(Protocol):
    """Observes a run and chooses its executor."""

    def planned(self, found: Plan) -> None:
        """Called with the finished plan, under the lease and before any work."""

    def progress(self, total: int) -> AbstractContextManager[ShowsProgress]:
        """Show progress towards a number of images."""

    def executor(self, settings: Settings, counts: PlanCounts) -> AbstractContextManager[Executor]:
        """Open the workers; called only if there is work."""


class FlowObserver:
    """Shows a run in Prefect if it is part of a flow run, and runs it on Dask."""

    def planned(self, found: Plan) -> None:
        """Do nothing: the last line of the run has all counts."""

    def progress(self, total: int) -> AbstractContextManager[ShowsProgress]:
        """Show a progress bar or log lines, and the progress artifact."""
        from tasks.progress import Progress

        return Progress(total)

    def executor(self, settings: Settings, counts: PlanCounts) -> AbstractContextManager[Executor]:
        """Use the workers that the settings name."""
        from tasks.waves.dask_executor import on_dask  # imports Dask and PyTorch only if needed

        return on_dask(settings)
