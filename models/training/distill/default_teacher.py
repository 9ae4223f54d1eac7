"""The default teacher of a student (`default_teacher`), chosen among the shipped networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from models.shipped import DEFAULT, ShippedNetwork, shipped_networks
from models.training.distill.teachers import TeacherSpec

SELF_ENSEMBLE_GAIN = 0.4
"""dB of validation that the self-ensemble of the shipped student gains over it; an AFR-Net must gain more."""
AFR_NETS = ("afr-net", "afr-student")


def default_teacher(networks: Sequence[ShippedNetwork] | None = None) -> TeacherSpec:
    """Return the best AFR-Net that ships, or else the self-ensemble of the shipped student.

    The self-ensemble teaches unless an AFR-Net leads the student by more than the ensemble does, by the validation
    scores in their configs. Scores on another revision of the validation set are not compared.

    Parameters
    ----------
    networks : sequence of ShippedNetwork, optional
        Networks to choose from; by default those that ship.
    """
    by_name = {network.name: network for network in networks or shipped_networks()}
    student = by_name[DEFAULT]
    teachers = [
        network
        for network in by_name.values()
        if network.config["architecture"] in AFR_NETS and _revision(network) == _revision(student)
    ]
    best = max(teachers, key=_score, default=student)
    if _score(best) - _score(student) > SELF_ENSEMBLE_GAIN:
        return TeacherSpec(str(best.path))
    return TeacherSpec(str(student.path), views=4)


def _revision(network: ShippedNetwork) -> int:
    """Return the revision of the validation set on which a network was scored; the first had no number."""
    return int(network.config["facts"].get("validation_revision", 1))


def _score(network: ShippedNetwork) -> float:
    """Return the mean validation score under light, heavy and fine rain, which all networks have, dB."""
    scores: Mapping[str, Any] = network.config["facts"]["validation_psnr_y"]
    return fmean(float(scores[kind]) for kind in ("light", "heavy", "fine"))
