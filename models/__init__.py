"""Networks, rain synthesis, losses, metrics, the inference engine, training loops: torch and numpy only.

`derain` derains photographs from Python: `from models import derain`.
"""

from models.photographs import derain

__all__ = ["derain"]
