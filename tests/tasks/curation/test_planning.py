"""The plan of a curation: crops that must still be judged."""

from __future__ import annotations

import torch

from infra.limits import CurationLimits
from infra.settings import Settings
from models.pseudo_labels.texture_features import LabelledFeatures
from tasks.curation.planning import judgement_digest

LABELLED = LabelledFeatures(mean=torch.tensor([1.0, 2.5]), precision=torch.eye(2))


def digest(**limits: float) -> str:
    settings = Settings(curation=CurationLimits(**limits), _env_file=None)
    return judgement_digest(settings, ["a", "b"], LABELLED)


def test_crops_that_version_0_1_0_judged_are_not_judged_again():
    assert digest() == "1e344566d1a25cf3"
    assert digest(task_crops=3) == digest()  # it changes no score and no rule


def test_crops_are_judged_again_by_other_limits():
    assert digest(score=0.5) != digest()
