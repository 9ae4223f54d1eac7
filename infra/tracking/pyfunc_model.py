"""`DerainingModel`, a registered network as MLflow's generic model: uint8 photographs in, uint8 photographs out.

The registry stores this file with the weights of each version, and MLflow runs it when a version is loaded (models
from code: nothing is unpickled). This package must be installed there. A version does not include the package's
code: whether MLflow used it would depend on what the process had already imported, and the current code reads every
config that was ever written. Nothing in this project imports this file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
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
        """Derain a batch; input and output are (N, H, W, 3) uint8 RGB.

        Whole numbers of another type from 0 to 255, as JSON gives them, are taken too.

        Raises
        ------
        MlflowException
            If the input is anything else; served, the answer then has status 400.
        """
        return self._engine.derain(_photographs(model_input))


def _photographs(found: object) -> np.ndarray:
    pixels = np.asarray(found)
    is_whole = np.issubdtype(pixels.dtype, np.integer) and pixels.size > 0
    if not is_whole or pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.min() < 0 or pixels.max() > 255:
        raise MlflowException(
            "photographs are uint8 (N, H, W, 3) RGB, whole numbers from 0 to 255; this is"
            f" {pixels.dtype} {pixels.shape}",
            error_code=INVALID_PARAMETER_VALUE,
        )
    return pixels.astype(np.uint8)


set_model(DerainingModel())
