"""What a retraining is asked for, looked at in full before the first of its stages works for hours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infra.catalog.pool import Pool
from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL
from tasks.promotion.evaluation import open_validation
from tasks.promotion.overlap import refuse_training
from tasks.refusals import PreflightFailed
from tasks.resolved_model import resolve_model
from tasks.retraining.presets import sizes_of
from tasks.training.folder import folder_named, read_folder


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Parameters of the flow: as they were given, or with the data that stands for none."""

    preset: str
    data: str
    """Folder of labelled data; empty: what `smoke` generates."""
    decisions: str | None
    anew: bool


def prepare_retraining(settings: Settings, request: RetrainRequest) -> RetrainRequest:
    """Look at what the stages need, as far as that is quickly done; return the request with its data.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        Or another of `tasks.refusals.REFUSALS`: what is wrong, in one line. Nothing was trained.
    """
    sizes_of(request.preset)
    if not Pool(settings.workspace).count():
        raise PreflightFailed(
            f"the pool of {settings.workspace} is empty: python -m flows.ingest --source ... fills it"
        )
    request = replace(request, data=_data(settings, request))
    resolve_model(settings, CHAMPION_URL)  # the first run registers it
    open_validation(settings)
    return request


def refuse_unfit_data(settings: Settings, request: RetrainRequest) -> None:
    """Read all labelled data and validation, which takes a while: that it can be done, and that they share nothing.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        What is wrong, in one line.
    """
    if request.data:
        read_folder(Path(request.data))
        refuse_training(open_validation(settings), f"{request.data}/clean")


def _data(settings: Settings, request: RetrainRequest) -> str:
    if request.preset == "smoke" and not (request.data or settings.training):
        return ""
    return str(folder_named(settings, request.data, request.preset))
