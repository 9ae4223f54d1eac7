"""Derain a photograph from Python: `python examples/derain_an_array.py rainy.jpg derained.png`."""

import sys

import numpy as np
from PIL import Image

from models import derain

rainy = np.asarray(Image.open(sys.argv[1]).convert("RGB"))  # (H, W, 3) uint8
derained = derain(rainy)  # a path, a PIL image, floats in [0, 1] or a batch also work
Image.fromarray(derained).save(sys.argv[2])
print(f"{derained.shape}, mean change {np.abs(derained.astype(int) - rainy).mean():.1f} grey levels")
