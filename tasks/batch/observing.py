"""Who watches a run of derain-batch and chooses where it works: Prefect's flow, or the console."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from infra.settings import Settings
from tasks.batch.planning import Plan, PlanCounts
from tasks.waves.executors import Executor
from tasks.waves.tally import Tally


class ShowsProgress(Protocol):
    """Shows how far a run is."""

    def show(self, tally: Tally) -> None:
        """Show what has come back so far."""


class RunObserver(Protocol):
    """Watches a run and chooses where it works."""

    def planned(self, found: Plan) -> None:
        """Called once it is known what is to do, under the lease and before any work."""

    def progress(self, total: int) -> AbstractContextManager[ShowsProgress]:
        """Show progress towards a number of images."""

    def executor(self, settings: Settings, counts: PlanCounts) -> AbstractContextManager[Executor]:
        """Open the workers; called only where there is something to do."""


class FlowObserver:
    """Shows a run in Prefect, where it is part of a flow run, and works on Dask."""

    def planned(self, found: Plan) -> None:
        """Say nothing: the run's last line has it all."""

    def progress(self, total: int) -> AbstractContextManager[ShowsProgress]:
        """Show a bar or log lines, and the progress artifact."""
        from tasks.progress import Progress

        return Progress(total)

    def executor(self, settings: Settings, counts: PlanCounts) -> AbstractContextManager[Executor]:
        """Take the workers that the settings name."""
        from tasks.waves.dask_executor import on_dask  # Dask and PyTorch only where there is something to do

        return on_dask(settings)
