from __future__ import annotations

from pathlib import Path

import pytest

from models.shipped import DEFAULT, ShippedNetwork, shipped_networks
from models.training.distill.default_teacher import default_teacher
from models.training.distill.teachers import read_teacher


def network(name: str, architecture: str, score: float, **facts: int) -> ShippedNetwork:
    scores = dict.fromkeys(("light", "heavy", "fine", "none"), score)
    config = {"architecture": architecture, "facts": {"validation_psnr_y": scores, **facts}}
    return ShippedNetwork(name, Path(f"{name}.safetensors"), config)


STUDENT = network(DEFAULT, "student", 31.0)
BETTER = network("student-huge", "student", 35.0)


@pytest.mark.parametrize(
    ("lead", "teacher"),
    [(0.5, "afr-net-base.safetensors"), (0.3, f"self-ensemble-4:{DEFAULT}.safetensors")],
)
def test_an_afr_net_teaches_where_it_leads_more_than_a_self_ensemble(lead, teacher):
    weak, good = network("afr-net-slim", "afr-net", 29.0), network("afr-net-base", "afr-student", 31.0 + lead)
    assert str(default_teacher([STUDENT, weak, good, BETTER])) == teacher


def test_scores_of_another_validation_set_are_not_compared():
    good = network("afr-net-base", "afr-student", 32.0, validation_revision=2)
    assert str(default_teacher([STUDENT, good])) == f"self-ensemble-4:{DEFAULT}.safetensors"


def test_without_an_afr_net_the_student_teaches_itself():
    assert str(default_teacher([STUDENT, BETTER])) == f"self-ensemble-4:{DEFAULT}.safetensors"


def test_the_shipped_default_teacher_can_be_read():
    teacher = read_teacher(str(default_teacher(shipped_networks())))
    assert teacher.digest
