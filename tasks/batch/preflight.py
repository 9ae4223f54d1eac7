"""Preflight checks of derain-batch (`prepare`), completed before any work starts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from infra.errors import printable
from infra.records import ImageRef, Scope
from infra.settings import Settings, absolute_url
from infra.storage.lease import check_workspace
from infra.storage.listing import ListingRules
from infra.storage.location import existing, open_location
from infra.storage.rights import refuse_unwritable
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec, is_array
from tasks.media.sources import Source, readable_source, refuse_oversized
from tasks.refusals import PreflightFailed
from tasks.resolved_model import ResolvedModel, refuse_absent_device, resolve_quickly, weights_file

OUTPUT_BYTES_PER_SOURCE_BYTE = {"same": 1.5, "jpeg": 1.5, "png": 8.0}
"""Expected size of outputs relative to inputs; PNG outputs of JPEG inputs grow most."""


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A checked run that is ready to start."""

    scope: Scope
    source: Source
    medium: MediumSpec
    model: ResolvedModel
    workspace: str


def prepare(
    settings: Settings,
    source: str | None,
    destination: str | None,
    export: Export,
    model: str,
    resolve: Callable[[Settings, str], ResolvedModel] = resolve_quickly,
    *,
    reads_only: bool = False,
) -> PreparedRun:
    """Check everything that a run needs; create samples and version 1 of a shipped model if requested.

    Parameters
    ----------
    settings : Settings
        Settings that provide the defaults.
    source, destination : str or None
        URLs; by default those of the settings, or else the samples.
    export : Export
        Format of the outputs.
    model : str
        `models:/name@alias`, `models:/name/version`, a shipped network, or the path of a weights file.
    resolve : callable
        Finds the model.
    reads_only : bool
        Whether nothing will be derained, so that destination and workspace need not be writable.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line. Nothing has been derained or recorded;
        samples may have been written, and version 1 of a shipped model may have been registered.
    """
    if settings.cluster is None:
        refuse_absent_device(settings)
    source, destination = _endpoints(settings, source, destination)
    found = _checked(settings, source, destination, export, reads_only=reads_only)
    if settings.cluster is not None and not reads_only:
        # Imports Dask only for runs that use it.
        from infra.dask.shared_folders import refuse_unshared_folders

        refuse_unshared_folders(settings, read=[found.base], written=[destination, settings.workspace])
    medium = MediumSpec(found.base, destination, export, settings.max_pixels, found.frames)
    scope = Scope(found.base, destination, export.label)
    return PreparedRun(scope, found, medium, resolve(settings, model), settings.workspace)


def refuse_at_once(
    settings: Settings,
    source: str | None,
    destination: str | None,
    export: Export,
    model: str,
    *,
    reads_only: bool = False,
) -> None:
    """Make those checks of `prepare` that need neither MLflow nor PyTorch; create nothing.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    if settings.cluster is None:
        refuse_absent_device(settings)
    if not model.startswith("models:/"):
        weights_file(model)
    if takes_samples(settings, source, destination):
        return
    endpoints = _endpoints(settings, source, destination)
    _checked(settings, *endpoints, export, reads_only=reads_only)


def _checked(
    settings: Settings, source: str, destination: str, export: Export, *, reads_only: bool
) -> Source:
    """Check source, destination and workspace; return the source."""
    refuse_overlap(source, destination)
    if not reads_only:
        open_location(destination).check(writable=True)
        check_workspace(settings.workspace)
        refuse_unwritable(settings.workspace)
    found = readable_source(source)
    if found.base != source:
        found = _without_outputs(found, source, destination)
    refuse_oversized(found, settings)
    _refuse_other_kind(found, destination, export)
    return found


def _without_outputs(manifest: Source, source: str, destination: str) -> Source:
    """Return a manifest that is refused, at once or while it is listed, if it names photographs in the destination.

    A destination below the base is allowed: the base may be a whole bucket.
    """
    below = destination.removeprefix(f"{manifest.base.rstrip('/')}/")
    if below == destination:
        refuse_overlap(manifest.base, destination)
        return manifest

    def listed(rules: ListingRules) -> Iterator[ImageRef]:
        for ref in manifest.refs(rules):
            if ref.key.startswith(f"{below}/"):
                raise PreflightFailed(
                    f"{source} names {printable(ref.key)}, which lies in the destination {destination}: derained"
                    " images would be treated as rainy, or overwrite them; choose another destination"
                )
            yield ref

    return replace(manifest, listed_by=listed)


def refuse_overlap(source: str, destination: str) -> None:
    """Refuse a destination that is the source, lies inside it, or contains it."""
    target, origin = (PurePosixPath(url).parts for url in (destination, source))
    shorter = min(len(target), len(origin))
    if target[:shorter] == origin[:shorter]:
        raise PreflightFailed(
            f"destination {destination} and source {source} lie inside one another:"
            " derained images would be treated as rainy, or overwrite them; choose another destination"
        )


def _refuse_other_kind(source: Source, destination: str, export: Export) -> None:
    """Refuse to write photographs to an array, frames to a folder of photographs, or frames in an image format."""
    if source.frames and export.kind != "same":
        raise PreflightFailed(f"{source.base}: frames become a Zarr array; leave out --export {export.kind}")
    if source.frames == is_array(destination):
        return
    if not source.frames:
        raise PreflightFailed(
            f"destination {destination} is a Zarr array, but {source.base} holds photographs; choose a folder"
        )
    if any(existing(open_location(destination))):
        raise PreflightFailed(
            f"source {source.base} is a Zarr array, but destination {destination} holds other objects;"
            " choose an empty destination"
        )


def refuse_full_disk(settings: Settings, destination: str, export: Export, pending_bytes: int) -> None:
    """Refuse to start if the outputs are not expected to fit on the disk."""
    expected = int(pending_bytes * OUTPUT_BYTES_PER_SOURCE_BYTE[export.kind])
    for url, needed in ((destination, expected), (settings.workspace, 0)):
        free, kept = open_location(url).free_bytes(), settings.min_free_bytes
        if free is not None and free < needed + kept:
            outputs = f"about {_megabytes(needed)} are needed for the outputs, and " if needed else ""
            fewer = ", or take fewer images with --limit" if needed and free > kept else ""
            raise PreflightFailed(
                f"{url}: {_megabytes(free)} free, but {outputs}{_megabytes(kept)} must stay free"
                f" (DERAIN_MIN_FREE_BYTES); make room{fewer}"
            )


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.0f} MB"


def takes_samples(settings: Settings, source: str | None, destination: str | None) -> bool:
    """Return whether neither parameters nor settings name a source or a destination."""
    return not (source or destination or settings.source or settings.destination)


def _endpoints(settings: Settings, source: str | None, destination: str | None) -> tuple[str, str]:
    source = absolute_url(source) if source else settings.source
    destination = absolute_url(destination) if destination else settings.destination
    if takes_samples(settings, source, destination):
        from tasks.media.samples import make_samples  # imports PyTorch only if needed

        return make_samples(settings.workspace)
    if source is None or destination is None:
        missing, given = ("source", destination) if source is None else ("destination", source)
        raise PreflightFailed(f"no {missing} for {given}: give --{missing} or set DERAIN_{missing.upper()}")
    return source, destination
