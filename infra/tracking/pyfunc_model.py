"""`DerainingModel`, a registered network as MLflow's generic model: uint8 photographs in, uint8 photographs out.

The registry stores this file with the weights of each version, and MLflow runs it when a version is loaded (models
from code: nothing is unpickled). This package must be installed there. A version does not include the package's
code: whether MLflow used it would depend on what the process had already imported, and the current code reads every
config that was ever written. Nothing in this project imports this file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from models.engine import Engine, choose_device, fast_dtype
from models.modelfile import ModelFile, build


class DerainingModel(PythonModel):  # type: ignore[misc]  # mlflow is untyped
    """Derain photographs, all of one size per call; large ones are derained in tiles."""

    def load_context(self, context: PythonModelContext) -> None:
        """Build the network from the two files of the version.

        Raises
        ------
        ModelFileInvalid
            If the files are damaged or do not match each other.
        """
        weights, config = (Path(context.artifacts[part]) for part in ("weights", "config"))
        network = build(ModelFile(weights.read_bytes(), config.read_bytes()), name=str(weights))
        device = choose_device("auto")
        self._engine = Engine(network, device, fast_dtype(device))

    def predict(self, model_input: np.ndarray) -> np.ndarray:
        """Derain a batch; input and output are (N, H, W, 3) uint8 RGB."""
        return self._engine.derain(model_input)


set_model(DerainingModel())
