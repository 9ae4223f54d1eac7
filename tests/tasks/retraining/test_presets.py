from __future__ import annotations

import pytest

from infra.settings import Settings
from infra.tracking.registry import STUDENT
from tasks.refusals import PreflightFailed
from tasks.retraining.presets import PRESETS, sizes_of
from tasks.training import finetuning_request
from tasks.training.finetuning_request import start_of


@pytest.mark.parametrize("preset", PRESETS)
def test_the_teacher_of_each_preset_is_available(settings: Settings, preset: str):
    sizes = sizes_of(preset)
    network = finetuning_request.PRESETS[sizes.finetune].preset
    assert start_of(settings, sizes.teacher, network).name == STUDENT


def test_an_unknown_preset_is_refused_with_the_known_ones():
    assert sizes_of("smoke") is PRESETS["smoke"]
    with pytest.raises(PreflightFailed, match="smoke, cpu, gpu"):
        sizes_of("enormous")
