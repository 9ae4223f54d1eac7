"""Observers of a derain-batch run, which show its progress and choose its executor; Prefect's is `FlowObserver`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from infra.settings import Settings
from tasks.batch.planning.plan import Plan, PlanCounts
from tasks.waves.executors import Executor, in_process
from tasks.waves.tally import Tally

HANDFUL_PIXELS = 12_000_000
"""Pixels that take about ten seconds on one core, no longer than starting worker processes."""


class ShowsProgress(Protocol):
    """Shows the progress of a run."""

    def show(self, tally: Tally) -> None:
        """Show the results so far."""


class RunObserver(Protocol):
    """Observes a run and chooses its executor."""

    def planned(self, found: Plan, follows_death: bool) -> None:
        """Called with the finished plan, under the lease and before any work; may refuse the run."""

    def progress(self, total: int) -> AbstractContextManager[ShowsProgress]:
        """Show progress towards a number of images."""

    def executor(
        self, settings: Settings, counts: PlanCounts, follows_death: bool
    ) -> AbstractContextManager[Executor]:
        """Open the executor; called only if there is work. For `follows_death` see `is_for_this_process`."""


def is_for_this_process(settings: Settings, counts: PlanCounts, follows_death: bool) -> bool:
    """Return whether a run derains its images itself: a handful takes no longer than starting workers would.

    Parameters
    ----------
    settings : Settings
        Settings that may name a cluster or a number of workers, which then derain the images.
    counts : PlanCounts
        The pending images.
    follows_death : bool
        Whether the previous run died. An image may have killed it, and only workers can find out which one.
    """
    has_choice = settings.cluster is None and settings.workers is None
    is_handful = counts.pending == 1 or counts.pending_pixels <= HANDFUL_PIXELS
    return has_choice and is_handful and not follows_death


class FlowObserver:
    """Shows a run in Prefect if it is part of a flow run; runs it on Dask, or in this process if it is small."""

    def planned(self, found: Plan, follows_death: bool) -> None:
        """Do nothing: the last line of the run has all counts."""

    def progress(self, total: int) -> AbstractContextManager[ShowsProgress]:
        """Show a progress bar or log lines, and the progress artifact."""
        from tasks.progress import Progress

        return Progress(total)

    def executor(
        self, settings: Settings, counts: PlanCounts, follows_death: bool
    ) -> AbstractContextManager[Executor]:
        """Use this process for a handful of images, and the workers that the settings name for more."""
        if is_for_this_process(settings, counts, follows_death):
            return in_process(settings)
        from tasks.waves.dask_executor import on_dask  # imports Dask and PyTorch only if needed

        return on_dask(settings)
