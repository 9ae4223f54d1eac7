"""Derain a photograph with a model served by MLflow: `python examples/derain_with_mlflow.py photo.jpg out.png`."""

import os
import sys

import httpx
import numpy as np
from PIL import Image

address = os.environ.get("SERVED", "http://127.0.0.1:5001")
with Image.open(sys.argv[1]) as photo:
    rainy = np.asarray(photo.convert("RGB"))
answer = httpx.post(f"{address}/invocations", json={"inputs": rainy[None].tolist()}, timeout=600)
if answer.is_error:
    sys.exit(answer.text)
Image.fromarray(np.array(answer.json()["predictions"][0], np.uint8)).save(sys.argv[2])
