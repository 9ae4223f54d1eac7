"""`derain SOURCE DEST`, which derains a folder or bucket as derain-batch does, without a Prefect server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from flows.console.arguments import ArgumentRefused, Collection
from flows.console.lines import announce, say
from flows.console.networks import model_url
from flows.console.progress import ConsoleProgress
from flows.running.flow_settings import command_settings
from infra.catalog.derained import Catalog
from infra.errors import printable
from infra.settings import Settings
from infra.storage.location import is_local
from tasks.batch.coordinator import BatchRequest, derain_pending, make_plan, plan_line
from tasks.batch.metrics import failure_metrics, publish_metrics
from tasks.batch.observing import RunObserver, is_for_this_process
from tasks.batch.planning.plan import Plan, PlanCounts, Redo
from tasks.batch.preflight import PreparedRun, prepare
from tasks.batch.replacing import aside_of, put_aside, replaced_outputs, unrecorded
from tasks.batch.summary import RunSummary
from tasks.codec.exports import Export
from tasks.media.sources import Selection
from tasks.prefect_runs import attempt
from tasks.resolved_model import resolve_at_once
from tasks.waves.executors import Executor, in_process

NAMED_REJECTS = 5
"""Number of rejected images that the last lines of a run name."""


@dataclass(frozen=True, slots=True)
class CollectionOptions:
    """Options for deraining a collection."""

    model: str
    export: Export
    selection: Selection
    redo: Redo
    plan_only: bool
    keep_old: bool
    overwrite: bool


def derain_collection(collection: Collection | None, options: CollectionOptions) -> int:
    """Derain the pending images of a collection; return the exit code.

    Parameters
    ----------
    collection : Collection or None
        None: the source that the settings name, or else the samples.
    options : CollectionOptions
        How to derain.

    Raises
    ------
    DerainError, ModelError
        If nothing could be derained; the message names the cause in one line.
    """
    source, destination = (collection.source, collection.destination) if collection else (None, None)
    request = BatchRequest(str(uuid4()), datetime.now(UTC), options.selection, options.redo)
    with nullcontext() if options.plan_only else failure_metrics(destination):
        settings = command_settings(source, destination)
        prepared = _prepared(source, destination, options, settings)
        if options.plan_only:
            return _plan_only(settings, prepared, request)
        observer = _ConsoleObserver(prepared, options, request, settings.workspace)
        summary = derain_pending(settings, prepared, request, observer)
    return _conclude(summary, prepared, settings)


def _prepared(
    source: str | None, destination: str | None, options: CollectionOptions, settings: Settings
) -> PreparedRun:
    announce(f"reading {printable(source or settings.source or 'the samples')}")
    model = model_url(options.model)
    prepared = prepare(
        settings, source, destination, options.export, model, resolve_at_once, reads_only=options.plan_only
    )
    if options.keep_old and prepared.medium.frames:
        raise ArgumentRefused("--keep-old: frames of an array replace nothing; leave it out")
    return prepared


def _plan_only(settings: Settings, prepared: PreparedRun, request: BatchRequest) -> int:
    from tasks.batch.planning.plan_list import write_list

    with make_plan(prepared, request, Catalog(settings.workspace)) as found:
        say(plan_line(found.counts))
        say(f"list: {write_list(found, prepared.scope.source, settings.workspace, request.run_id)}")
    return 0


def _replacing_line(number: int, destination: str) -> str:
    return f"{number:,} file{'s' if number > 1 else ''} in {printable(destination)} will be replaced"


@dataclass(frozen=True, slots=True)
class _ConsoleObserver(RunObserver):
    """Reports the plan and the progress of a run on the terminal."""

    prepared: PreparedRun
    options: CollectionOptions
    request: BatchRequest
    workspace: str

    def planned(self, found: Plan, follows_death: bool) -> None:
        """Print the plan and the number of outputs that it replaces; keep those that may not be replaced."""
        counts, destination = found.counts, self.prepared.scope.destination
        announce(f"{counts.pending:,} of {counts.listed:,} images are pending")
        number = sum(1 for _ in replaced_outputs(found, self.prepared.medium))
        if number:
            aside = aside_of(destination, self.request.started_at)
            kept = self._keep(found, aside)
            announce(_replacing_line(number, destination) + self._kept_part(kept, number, aside))

    def _keep(self, found: Plan, aside: str) -> int:
        """Copy files that will be replaced: all if asked to, or else those that no run has recorded as outputs."""
        destination = self.prepared.scope.destination
        keys = replaced_outputs(found, self.prepared.medium)
        if not self.options.keep_old:
            if self.options.overwrite:
                return 0
            keys = unrecorded(keys, Catalog(self.workspace), destination)
        return put_aside(keys, destination, aside)

    def _kept_part(self, kept: int, number: int, aside: str) -> str:
        if not kept:
            return "; --keep-old keeps them"
        if self.options.keep_old:
            return f", and kept in {printable(aside)}"
        which = "all" if kept == number else f"{kept:,} of them"
        return (
            f"; {which}, which no run has recorded, are kept in {printable(aside)} (--overwrite keeps none)"
        )

    @contextmanager
    def executor(self, settings: Settings, counts: PlanCounts, follows_death: bool) -> Iterator[Executor]:
        """Use this process for a handful of images, and workers for more."""
        if is_for_this_process(settings, counts, follows_death):
            announce("loading the network")
            with in_process(settings) as executor:
                yield executor
            return
        from tasks.waves.dask_executor import on_dask

        announce(f"connecting to {settings.cluster}" if settings.cluster else "starting workers")
        with on_dask(settings) as executor:
            try:
                yield executor
            except KeyboardInterrupt:
                announce("interrupted: finished work is recorded; stopping the workers")
                raise

    def progress(self, total: int) -> ConsoleProgress:
        """Show progress on the terminal."""
        return ConsoleProgress(total)


def _conclude(summary: RunSummary, prepared: PreparedRun, settings: Settings) -> int:
    """Print what was done and where the outputs are; return the exit code."""
    counts = summary.counts
    publish_metrics(settings, summary)
    say(summary.line())
    if counts.rejected:
        attempt("naming the rejected images", lambda: say(_rejected_line(summary, settings)))
    if counts.derained or counts.derained_before:
        say(f"outputs: {printable(summary.scope.destination)}")
    if not summary.is_idle:
        from tasks.batch.publication import publish

        announce("writing the report")
        say(f"report: {_address(publish(summary, prepared.medium, settings))}")
    if summary.state == "Failed":
        announce(summary.message)
        return 1
    return 0


def _rejected_line(summary: RunSummary, settings: Settings) -> str:
    """Name the first rejected images of a run, with their reasons."""
    rows = Catalog(settings.workspace).rejected(summary.scope, NAMED_REJECTS, summary.run_id)
    named = [f"{printable(row.key)} ({row.reason})" for row in rows]
    if summary.counts.rejected > len(rows):
        named.append(f"{summary.counts.rejected - len(rows):,} more, which derain status lists")
    return f"rejected: {', '.join(named)}"


def _address(url: str) -> str:
    return Path(url).as_uri() if is_local(url) and Path(url).is_file() else url
