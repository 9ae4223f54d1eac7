"""Promotion gates (`decide`): figures in which a challenger must not lose, and of which it must win one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infra.catalog.promotions import Gate
from infra.limits import GateLimits
from tasks.promotion.bootstrap import paired_interval
from tasks.promotion.scores import Evaluation
from tasks.promotion.validation_manifest import ValidationManifest

HIGHER_IS_BETTER = ("psnr_y", "ssim_y", "rain_recall", "detail_kept")
LOWER_IS_BETTER = ("clean_change",)
WINS = ("psnr_y", "rain_recall")
"""Figures of which at least one must be significantly better."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All gates, and the reasons for refusing the challenger; no reasons if it is accepted."""

    gates: tuple[Gate, ...]
    refusals: tuple[str, ...]
    won: tuple[Gate, ...] = ()
    """Gates whose figure is significantly better."""

    @property
    def is_better(self) -> bool:
        """Return whether the challenger should become champion."""
        return not self.refusals

    def line(self) -> str:
        """Return the verdict as one line."""
        return "; ".join(self.refusals) or ", ".join(_won(gate) for gate in self.won)


def decide(evaluation: Evaluation, limits: GateLimits) -> Verdict:
    """Compare the measurements of an evaluation with the limits.

    The upper bound of each gate's 95 % interval must not exceed the gate's limit, and the whole interval of psnr_y
    or of rain recall must be on the better side. An interval over too few scenes proves nothing:
    the bootstrap draws scenes, and over a single one, the interval is a point.
    """
    signs = dict.fromkeys(HIGHER_IS_BETTER, -1) | dict.fromkeys(LOWER_IS_BETTER, 1)
    gates = [_gate(evaluation, figure, sign, getattr(limits, figure)) for figure, sign in signs.items()]
    gates.append(_latency(evaluation, limits.latency_ratio))
    scenes = {figure: evaluation.scenes(figure) for figure in WINS}
    won = tuple(gate for gate in gates if _is_win(gate, scenes, limits.min_scenes))
    refusals = [_lost(gate) for gate in gates if not gate.passed]
    if not won:
        gains = " and ".join(
            f"{gate.name} {_gained(gate)} in {scenes[gate.name]} scenes"
            for gate in gates
            if gate.name in WINS
        )
        refusals.append(f"not significantly better in psnr_y or rain recall: {gains}")
    return Verdict(tuple(gates), tuple(refusals), won)


def too_small(manifest: ValidationManifest, limits: GateLimits) -> str | None:
    """Return why a validation set is too small for a decision; None if it is large enough."""
    counts = {
        "pairs": (manifest.pairs, limits.min_images),
        "scenes with pairs": (manifest.scenes, limits.min_scenes),
    }
    for what, (count, least) in counts.items():
        if count < least:
            return f"the validation set has {count} {what}, and a decision needs at least {least}"
    return None


def _gate(evaluation: Evaluation, figure: str, sign: int, limit: float) -> Gate:
    """Compare one figure; `sign` turns challenger - champion into a loss."""
    differences, scenes = evaluation.differences(figure)
    loss = paired_interval(sign * differences, scenes)
    return Gate(
        name=figure,
        n=len(differences),
        champion=evaluation.mean(figure, "champion"),
        challenger=evaluation.mean(figure, "challenger"),
        loss=loss.mean,
        loss_lower=loss.lower,
        loss_upper=loss.upper,
        limit=limit,
        passed=loss.upper <= limit,
    )


def _latency(evaluation: Evaluation, limit: float) -> Gate:
    """Compare latency; the loss is the geometric mean of the ratios."""
    logs = paired_interval(np.log(evaluation.latency_ratios))
    ratio, lower, upper = (float(np.exp(bound)) for bound in (logs.mean, logs.lower, logs.upper))
    return Gate(
        "latency", len(evaluation.latency_ratios), 1.0, ratio, ratio, lower, upper, limit, upper <= limit
    )


def _is_win(gate: Gate, scenes: Mapping[str, int], least: int) -> bool:
    return gate.name in WINS and gate.loss_upper < 0 and scenes[gate.name] >= least


def _lost(gate: Gate) -> str:
    return (
        f"{gate.name} {gate.challenger:.4g} compared with {gate.champion:.4g}: the loss may be"
        f" {gate.loss_upper:.3g}, and {gate.limit:g} is allowed"
    )


def _won(gate: Gate) -> str:
    return f"{gate.name} {gate.challenger:.4g} compared with {gate.champion:.4g}: {_gained(gate)}"


def _gained(gate: Gate) -> str:
    gain, least, most = (0.0 - loss for loss in (gate.loss, gate.loss_upper, gate.loss_lower))  # and no -0
    return f"{gain:+.3g} ({least:+.3g} to {most:+.3g})"
