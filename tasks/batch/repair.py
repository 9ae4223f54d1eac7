"""Repair of a workspace (`repair`): damaged catalog tables are rebuilt and losses are reported."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from infra.catalog import derained, pool, promotions, pseudo_labels
from infra.catalog.delta.conditions import quoted
from infra.catalog.delta.repair import RepairedTable, repair_table
from infra.catalog.derained import Catalog
from infra.errors import STORAGE_ERRORS
from infra.records import DERAINED
from infra.settings import Settings
from infra.storage.lease import held_leases, lease_location
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.known_outputs import list_outputs
from tasks.batch.planning.output_listing import output_urls, read_listing
from tasks.batch.planning.ref_frames import output_frames
from tasks.media.key_hashes import find, hash_texts
from tasks.refusals import PreflightFailed

TABLES = (derained.TABLE, pool.TABLE, pseudo_labels.TABLE, promotions.TABLE)


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """Objects of a destination without a row in the catalog."""

    destination: str
    objects: int
    fault: str = ""
    """Reason why the destination could not be listed."""

    def line(self) -> str:
        """Return a description in one line."""
        if self.fault:
            return f"{self.destination} could not be listed: {self.fault}"
        return (
            f"{self.destination}: {self.objects:,} objects have no row in the catalog; the next run derains their"
            " images again and leaves all others unchanged"
        )


@dataclass(frozen=True, slots=True)
class RepairReport:
    """The outcome of repairing the tables of a workspace."""

    tables: tuple[RepairedTable, ...]
    unrecorded: tuple[Unrecorded, ...] = ()

    def lines(self) -> list[str]:
        """Return a readable description, one line per finding."""
        lines = []
        for table in self.tables:
            if not table.damages:
                lines.append(f"{table.name}: intact")
                continue
            lines += [f"{table.name}: {damage.key} {damage.fault}" for damage in table.damages]
            lost = (
                f"at least {table.lost:,} rows are lost"
                if table.lost
                else "no row that the log counts is lost"
            )
            lines.append(
                f"{table.name}: rebuilt with {table.kept:,} rows; {lost}; the damaged table: {table.kept_as}"
            )
        return lines + [each.line() for each in self.unrecorded if each.objects or each.fault]


def repair(settings: Settings) -> RepairReport:
    """Rebuild every damaged table of a workspace; outputs are listed but not changed.

    Parameters
    ----------
    settings : Settings
        Settings that name the workspace.

    Raises
    ------
    PreflightFailed
        If a run holds a lease in the workspace.
    TransientError, AccessDenied
        If storage fails; another call resumes the repair.
    """
    held = held_leases(lease_location(settings.workspace))
    if held:
        raise PreflightFailed(f"the workspace is in use, wait for the run to end: {held[0]}")
    tables = tuple(repair_table(settings.workspace, spec) for spec in TABLES)
    was_rebuilt = any(table.name == derained.TABLE.name and table.damages for table in tables)
    return RepairReport(tables, tuple(_unrecorded(Catalog(settings.workspace))) if was_rebuilt else ())


def _unrecorded(catalog: Catalog) -> Iterator[Unrecorded]:
    """Yield, per destination, the number of objects that the rebuilt table does not list."""
    batches = catalog.scan(["destination"], DERAINED)
    for destination in sorted(
        {name for batch in batches for name in batch["destination"].unique().to_pylist()}
    ):
        try:
            outputs = list_outputs(catalog, destination, NameFolding())
            listing = read_listing(destination, output_frames(outputs), NameFolding())
        except STORAGE_ERRORS as error:
            yield Unrecorded(destination, 0, str(error))
            continue
        where = f"{DERAINED} AND destination = {quoted(destination)}"
        rows = catalog.frame(["destination", "output_key"], where)
        urls = output_urls(rows["destination"], rows["output_key"]).unique()
        known = int(find(listing.urls, hash_texts(urls))[1].sum())
        yield Unrecorded(destination, len(listing.urls) - known)
