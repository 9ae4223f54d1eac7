"""A small model file, and its damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from models.modelfile import (
    ModelFile,
    pack,
)
from tests.support.samples.students import random_student

PACKED = pack(random_student(), {"psnr_y": 31.5})


def with_config(model_file: ModelFile, change: Callable[[dict[str, Any]], object]) -> ModelFile:
    config = json.loads(model_file.config)
    change(config)
    return ModelFile(model_file.weights, json.dumps(config).encode())


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
