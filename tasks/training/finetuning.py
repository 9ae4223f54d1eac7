"""Fine-tuning on real rain with Semi-DRDNet (`finetune_on_rain`): tracked, and registered if it is better."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.records import model_label
from infra.settings import Settings
from models.evaluation.validation import render_validation
from models.rain.banks import load_training_data
from models.training.loop import fit
from models.training.semi.objective import SemiSupervised
from models.training.semi.rain_critic import RainCritic, train_critic
from models.training.weight_interpolation import Interpolated, interpolate_best
from tasks.prefect_runs import run_log
from tasks.training.finetuning_request import PreparedFinetuning
from tasks.training.system_use import WithSystem
from tasks.training.tracked import Training, TrainingSession, as_training_failed, open_session

EXPERIMENT = "finetuning"
SEMI_DRDNET = "semi-drdnet"


@dataclass(frozen=True, slots=True)
class Finetuned:
    """The result of a completed fine-tuning."""

    run_id: str
    before: float
    """Validation score of the initial weights in dB; see `models.training.semi.validation`."""
    after: float
    share: float
    """Interpolation weight between initial and best weights; see `models.training.weight_interpolation`."""
    version: str | None
    """Version of `semi-drdnet`; None if nothing was better than the initial weights."""
    weights: Path
    streaks: str

    @property
    def model(self) -> str:
        """The version as a registry URL; empty if there is none."""
        return "" if self.version is None else f"models:/{SEMI_DRDNET}/{self.version}"

    def __str__(self) -> str:
        """Return the result in one line."""
        scores = f"{self.after:.2f} dB on validation, {self.before:.2f} before; streaks: {self.streaks}"
        if self.version is None:
            return f"nothing registered: no weights are better than the initial ones ({scores})"
        way = f"{self.share:.0%} of the way from its initial weights"
        return f"{model_label(SEMI_DRDNET, self.version)} is challenger, {way} ({scores})"


def finetune_on_rain(settings: Settings, prepared: PreparedFinetuning, run_id: str) -> Finetuned:
    """Train, or resume an interrupted training, and register the best weights if they beat the initial ones.

    Parameters
    ----------
    settings : Settings
        Workspace, tracking server, device.
    prepared : PreparedFinetuning
        The checked request.
    run_id : str
        Id of the flow run, which holds the lease of the work folder.

    Raises
    ------
    Unstable
        If the network collapsed or the training diverged; or another of `tasks.refusals.REFUSALS`. The best weights
        so far are in the work folder.
    """
    start, version = prepared.start.model_file, None
    with open_session(settings, _training(prepared), start, run_id) as session:
        kept = _trained(session, prepared)
        session.file()
        if kept.is_better:
            version = session.register(SEMI_DRDNET, kept.weights)
    before, after = kept.before.overall, kept.after.overall
    return Finetuned(session.run.run_id, before, after, kept.share, version, kept.weights, prepared.streaks)


def _training(prepared: PreparedFinetuning) -> Training:
    title = f"{prepared.start.label} on {len(prepared.rain.streaks)} streak layers, {prepared.config.steps:,} steps"
    return Training(EXPERIMENT, prepared.config, prepared.work, prepared.parameters, prepared.tags, title)


def _trained(session: TrainingSession, prepared: PreparedFinetuning) -> Interpolated:
    """Train to the end; return the interpolated weights."""
    fabric = session.fabric
    objective = SemiSupervised(prepared.semi, prepared.rain.to(fabric.device), _critic(prepared))
    held_out = load_training_data(prepared.folder.path, held_out=True).to(fabric.device)
    pairs = render_validation(held_out, prepared.config.validation_photographs)
    recorders = (WithSystem(session.run),)
    with as_training_failed(prepared.work):
        fit(fabric, prepared.config, prepared.folder.path, prepared.work, recorders, objective)
    run_log().info("choosing the interpolation of weights")
    start = prepared.start.model_file
    return interpolate_best(
        fabric, session.training.best, start, lambda network: objective.score(network, pairs)
    )


def _critic(prepared: PreparedFinetuning) -> RainCritic | None:
    if not prepared.semi.background_contrast:
        return None
    training, held_out = (load_training_data(prepared.folder.path, held_out=each) for each in (False, True))
    return train_critic(training, held_out, prepared.config.seed).critic
