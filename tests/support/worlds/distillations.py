"""Requests of small distillations, and their results in the registry."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from infra.settings import Settings
from infra.tracking.registry import STUDENT
from infra.tracking.server import TrackingServer
from tasks.training.distillation_request import DistillRequest
from tests.support.samples.train_configs import brief_training

CONFIG = brief_training(batch=2, finish=0.5)


CHAMPION = f"models:/{STUDENT}@champion"


def settings_of(founded: Path, home: Path) -> Settings:
    shutil.copytree(founded, home)
    return Settings(workspace=str(home), device="cpu", _env_file=None)


def request(material: Path, **changes: Any) -> DistillRequest:
    asked = DistillRequest(
        preset="smoke",
        student="",
        teacher=str(material / "afr-net-tiny.safetensors"),
        unlabelled_teacher=f"self-ensemble-2:{CHAMPION}",
        data=str(material / "data"),
        unlabelled=str(material / "rainy"),
        steps=None,
        attention=True,
        seed=1,
    )
    return replace(asked, **changes)


def versions(settings: Settings) -> list[int]:
    client = TrackingServer(settings).client()
    return sorted(int(each.version) for each in client.search_model_versions(f"name = '{STUDENT}'"))
