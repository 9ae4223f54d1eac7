"""Writer of the folder of a registered version: weights, config, and what MLflow needs to load and serve them."""

from __future__ import annotations

import platform
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
CODE_FILE = "pyfunc_model.py"
REQUIREMENTS = ("mlflow", "numpy", "pillow", "safetensors", "torch")
"""Packages that a version needs in addition to this one, which no index has: serve with `--env-manager local`."""


def write_model_folder(folder: Path, weights: bytes, config: bytes) -> None:
    """Write all files of a version into an empty folder.

    `mlflow.pyfunc.save_model` is not used: it runs the code that it saves and asks pip for versions, which takes
    more than a second, and it records paths of this machine.
    """
    (folder / WEIGHTS_FILE).write_bytes(weights)
    (folder / CONFIG_FILE).write_bytes(config)
    (folder / CODE_FILE).write_bytes(files("infra.tracking").joinpath(CODE_FILE).read_bytes())
    pinned = [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]
    (folder / "requirements.txt").write_text("\n".join(pinned) + "\n")
    _write_description(folder)


def _write_description(folder: Path) -> None:
    """Write `MLmodel`, in which MLflow looks up the meaning of the other files."""
    import numpy as np
    from mlflow.models import Model
    from mlflow.models.signature import ModelSignature
    from mlflow.types import Schema, TensorSpec

    # No input schema: MLflow would refuse a wrong input in its own words before `predict` could name a valid one.
    photographs = Schema([TensorSpec(np.dtype("uint8"), (-1, -1, -1, 3))])
    model = Model(
        signature=ModelSignature(outputs=photographs),
        metadata={"input": "uint8 (N, H, W, 3) RGB photographs"},
    )
    model.add_flavor(
        "python_function",
        loader_module="mlflow.pyfunc.loaders.code_model",
        python_version=platform.python_version(),
        model_code_path=CODE_FILE,
        artifacts={"weights": {"path": WEIGHTS_FILE}, "config": {"path": CONFIG_FILE}},
    )
    model.save(folder / "MLmodel")
