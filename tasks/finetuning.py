"""Semi-DRDNet: a derainer fine-tuned on real rain, tracked, and registered as challenger where it is better."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric

from infra.lease import Lease, lease_location
from infra.registry import Registry
from infra.settings import Settings
from infra.tracking import TrackedRun, open_run
from infra.tracking_server import ModelNotFound, TrackingUnreachable
from models.banks import load_training_data
from models.collapse import Collapsed
from models.engine import choose_device
from models.modelfile import build, read_model_file, write_model_file
from models.rain_critic import RainCritic, train_critic
from models.semi_supervised import SemiSupervised
from models.train import fit
from models.validation import render_validation
from tasks import preflight
from tasks.finetuning_request import Prepared

EXPERIMENT = "finetuning"
SEMI_DRDNET = "semi-drdnet"


class FinetuningFailed(Exception):
    """A training that came to nothing; the message says why."""


REFUSALS = (*preflight.REFUSALS, FinetuningFailed)
"""Errors whose message is the one line that a user needs."""


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A fine-tuning that came to its end."""

    run_id: str
    before: float
    """Validation score of the start, dB; see `models.semi_validation`."""
    after: float
    version: str | None
    """Of `semi-drdnet`; None where nothing was better than the start."""
    weights: Path
    streaks: str

    @property
    def model(self) -> str:
        """The version as a model of the registry; empty if there is none."""
        return "" if self.version is None else f"models:/{SEMI_DRDNET}/{self.version}"

    def __str__(self) -> str:
        """Tell it in one line."""
        scores = f"{self.after:.2f} dB on validation, {self.before:.2f} before; streaks: {self.streaks}"
        if self.version is None:
            return f"nothing registered: no weights are better than those it started from ({scores})"
        return f"version {self.version} of {SEMI_DRDNET} is challenger ({scores})"


def finetune_on_rain(settings: Settings, prepared: Prepared, run_id: str) -> Finetuned:
    """Train, or go on where a killed process was, and register the best weights if they are better than the start.

    Parameters
    ----------
    settings : Settings
        Workspace, tracking server, device.
    prepared : Prepared
        What was asked for.
    run_id : str
        Which flow run this is: it holds the lease of the work folder.

    Raises
    ------
    FinetuningFailed
        The network collapsed; or another of `REFUSALS`. The best weights so far lie in the work folder.
    """
    fabric = Fabric(
        accelerator=choose_device(settings.device).type,
        devices=1,
        precision=prepared.train.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    name = f"finetuning {prepared.work.name}"
    with Lease(lease_location(settings.workspace), name, run_id, settings.lease_seconds):
        prepared.work.mkdir(parents=True, exist_ok=True)
        write_model_file(prepared.start.model_file, prepared.work / "start.safetensors")
        with _tracked(settings, prepared) as run:
            before, after = _trained(fabric, prepared, run)
        weights = prepared.work / f"{prepared.train.preset}.safetensors"
        version = _registered(settings, weights) if after > before else None
    return Finetuned(run.run_id, before, after, version, weights, prepared.streaks)


@contextmanager
def _tracked(settings: Settings, prepared: Prepared) -> Iterator[TrackedRun]:
    """Keep the training in MLflow; the run is marked failed if it does not come to its end."""
    memory = prepared.work / "mlflow_run"
    run = open_run(settings, EXPERIMENT, prepared.train.preset, prepared.parameters, memory)
    try:
        yield run
    except BaseException:
        with suppress(TrackingUnreachable, ModelNotFound):
            run.end("FAILED")
        raise
    run.end()


def _trained(fabric: Fabric, prepared: Prepared, run: TrackedRun) -> tuple[float, float]:
    """Train to the end; return the validation score of the start and of the best weights."""
    rain, start = prepared.rain.to(fabric.device), build(prepared.start.model_file)
    objective = SemiSupervised(prepared.semi, rain, start, _critic(prepared))
    held_out = load_training_data(prepared.data, held_out=True).to(fabric.device)
    pairs = render_validation(held_out, prepared.train.validation_photographs)
    with fabric.autocast():
        before = objective.judge(build(prepared.start.model_file).to(fabric.device), pairs).overall
    try:
        state = fit(fabric, prepared.train, prepared.data, prepared.work, (run,), objective)
    except Collapsed as error:
        raise FinetuningFailed(f"{error} ({prepared.work})") from error
    return before, state.best


def _critic(prepared: Prepared) -> RainCritic | None:
    if not prepared.semi.background_contrast:
        return None
    training, held_out = (load_training_data(prepared.data, held_out=each) for each in (False, True))
    return train_critic(training, held_out, prepared.train.seed).critic


def _registered(settings: Settings, weights: Path) -> str:
    model_file = read_model_file(weights)
    return Registry(settings).register_challenger(SEMI_DRDNET, model_file.weights, model_file.config)
