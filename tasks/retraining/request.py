"""The request of a retraining, and its checks (`prepare_retraining`) before the steps run for hours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infra.catalog.pool import Pool
from infra.settings import Settings
from infra.storage.lease import check_workspace
from infra.tracking.registry import CHAMPION_URL
from tasks.curation.decisions import fetch_decisions
from tasks.promotion.evaluation import open_validation
from tasks.promotion.overlap import refuse_training
from tasks.resolved_model import resolve_model
from tasks.retraining.presets import sizes_of
from tasks.training.folder import folder_named, read_folder, refuse_incomplete


class NothingNew(Exception):
    """Raised if there is nothing to learn from: the pool is empty, or its crops were used already."""


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Parameters of the flow, as given or completed with default data."""

    preset: str
    data: str
    """Folder of labelled data; empty: the data that `smoke` generates."""
    decisions: str | None
    anew: bool


def refuse_at_once(settings: Settings, request: RetrainRequest) -> None:
    """Make those checks of a retraining that take seconds.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    sizes_of(request.preset)
    check_workspace(settings.workspace)
    if not Pool(settings.workspace).count():
        return  # the run completes without doing anything
    data = _data(settings, request)
    if data:
        refuse_incomplete(Path(data))
    if request.decisions is not None:
        fetch_decisions(request.decisions)


def prepare_retraining(settings: Settings, request: RetrainRequest) -> RetrainRequest:
    """Check quickly what the steps need; return the request completed with its data.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        Or another of `tasks.refusals.REFUSALS`, with a message of one line. Nothing has been trained.
    NothingNew
        If the pool is empty.
    """
    sizes_of(request.preset)
    if not Pool(settings.workspace).count():
        raise NothingNew(
            f"nothing to learn from: the pool of {settings.workspace} is empty;"
            " python -m flows.ingest --source ... fills it"
        )
    request = replace(request, data=_data(settings, request))
    resolve_model(settings, CHAMPION_URL)  # the first run registers it
    open_validation(settings)
    return request


def refuse_unfit_data(settings: Settings, request: RetrainRequest) -> None:
    """Read all labelled and validation data, which takes a while, and refuse unreadable files and overlaps.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        With a message of one line.
    """
    if request.data:
        read_folder(Path(request.data))
        refuse_training(open_validation(settings), f"{request.data}/clean")


def _data(settings: Settings, request: RetrainRequest) -> str:
    if request.preset == "smoke" and not (request.data or settings.training):
        return ""
    return str(folder_named(settings, request.data, request.preset))
