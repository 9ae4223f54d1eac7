"""Start of Lightning Fabric on the devices of a training (`launch_fabric`)."""

from __future__ import annotations

import logging
import warnings

import torch
from lightning_fabric import Fabric

from models.engine import fast_dtype


def launch_fabric(kind: str, precision: str, devices: int | list[int] = 1, nodes: int = 1) -> Fabric:
    """Start the processes of a training.

    Parameters
    ----------
    kind : str
        `cpu` or `cuda`.
    precision : str
        One of `models.training.config.PRECISIONS`.
    devices : int or list of int
        Number of devices per machine, or their indices.
    nodes : int
        Number of machines.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # otherwise it announces the precision
    count = devices if isinstance(devices, int) else len(devices)
    with warnings.catch_warnings():
        # On a login node of a cluster, Fabric always advises to use `srun`.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        fabric = Fabric(
            accelerator=kind,
            # The last part of a training does not use heads that the earlier part needs.
            strategy="ddp_find_unused_parameters_true" if count * nodes > 1 else "auto",
            devices=devices,
            num_nodes=nodes,
            precision=_fastest(kind) if precision == "auto" else precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    return fabric


def _fastest(kind: str) -> str:
    return "bf16-mixed" if fast_dtype(torch.device(kind)) == torch.bfloat16 else "32-true"
