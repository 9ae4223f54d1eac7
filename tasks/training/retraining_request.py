"""What a retraining is asked for, looked at in full before the first of its stages works for hours."""

from __future__ import annotations

from dataclasses import dataclass, replace

from infra.pool import Pool
from infra.registry import CHAMPION_URL
from infra.settings import Settings
from tasks.preflight import PreflightFailed, choose_model
from tasks.promotion.evaluation import open_validation
from tasks.promotion.overlap import refuse_training
from tasks.training.folder import folder_named, read_folder
from tasks.training.retraining_presets import sizes_of


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Parameters of the flow: as they were given, or with the data that stands for none."""

    preset: str
    data: str
    """Folder of labelled data; empty: what `smoke` generates."""
    decisions: str | None
    anew: bool

    @property
    def photographs(self) -> str | None:
        """Return the folder of the photographs that are trained on; None where they are generated."""
        return f"{self.data}/clean" if self.data else None


def prepare_retraining(settings: Settings, request: RetrainRequest) -> RetrainRequest:
    """Look at everything that the stages need; return the request with its data.

    Raises
    ------
    PreflightFailed, ManifestInvalid
        Or another of `tasks.preflight.REFUSALS`: what is wrong, in one line. Nothing was trained.
    """
    sizes_of(request.preset)
    if not Pool(settings.workspace).count():
        raise PreflightFailed(
            f"the pool of {settings.workspace} is empty: python -m flows.ingest --source ... fills it"
        )
    request = replace(request, data=_data(settings, request))
    choose_model(settings, CHAMPION_URL)  # the first run registers it
    manifest = open_validation(settings)
    if request.photographs is not None:
        refuse_training(manifest, request.photographs)
    return request


def _data(settings: Settings, request: RetrainRequest) -> str:
    if request.preset == "smoke" and not (request.data or settings.training):
        return ""
    folder = folder_named(settings, request.data, request.preset)
    read_folder(folder)
    return str(folder)
