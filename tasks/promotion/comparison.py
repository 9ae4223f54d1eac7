"""Comparison of two networks on request (`compare`), without registering or promoting anything."""

from __future__ import annotations

from infra.settings import Settings, absolute_url
from infra.storage.lease import check_workspace
from infra.storage.location import open_location
from tasks.media.sources import readable_source
from tasks.promotion.evaluation import evaluate, open_validation
from tasks.promotion.gates import decide, too_small
from tasks.promotion.overlap import refuse_training
from tasks.promotion.publication import record
from tasks.resolved_model import refuse_absent_device, resolve_model


def refuse_comparison(settings: Settings, champion: str, challenger: str, training: str | None) -> None:
    """Make those checks of a comparison that take seconds.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    refuse_absent_device(settings)
    check_workspace(settings.workspace)
    for url in (champion, challenger):
        resolve_model(settings, url)
    if training is not None:
        readable_source(absolute_url(training))


def compare(
    settings: Settings, champion: str, challenger: str, run_id: str, training: str | None = None
) -> str:
    """Measure two models, record the results, and return in one line what promotion would decide.

    If `training` is given, its photographs must not be among those on which the models are compared.

    Raises
    ------
    ManifestInvalid
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    refuse_absent_device(settings)
    open_location(settings.workspace).check(writable=True)
    champion_model, challenger_model = (resolve_model(settings, url) for url in (champion, challenger))
    manifest = open_validation(settings)
    if training is not None:
        refuse_training(manifest, training)
    evaluation = evaluate(settings, champion_model, challenger_model, manifest)
    verdict = decide(evaluation, settings.gates)
    url = record(settings, evaluation, verdict, run_id)
    small = too_small(manifest, settings.gates)
    outcome = small or ("better" if verdict.is_better else "not to be promoted")
    return (
        f"{challenger} compared with {champion}: {outcome} ({verdict.line()}); by photograph: {url} and .html"
    )
