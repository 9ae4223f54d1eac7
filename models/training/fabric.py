"""Start Lightning Fabric on the devices that a training uses."""

from __future__ import annotations

import logging
import warnings

from lightning_fabric import Fabric


def launch_fabric(kind: str, precision: str, devices: int | list[int] = 1, nodes: int = 1) -> Fabric:
    """Start the processes of a training.

    Parameters
    ----------
    kind : str
        `cpu` or `cuda`.
    precision : str
        Fabric's name of it: `32-true`, `bf16-mixed`.
    devices : int or list of int
        Number of devices per machine, or their indices.
    nodes : int
        Number of machines.
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision otherwise
    count = devices if isinstance(devices, int) else len(devices)
    with warnings.catch_warnings():
        # On a login node of a cluster Fabric advises `srun`, whoever starts the training.
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        fabric = Fabric(
            accelerator=kind,
            # The last part of a training leaves out heads that only the earlier one needs.
            strategy="ddp_find_unused_parameters_true" if count * nodes > 1 else "auto",
            devices=devices,
            num_nodes=nodes,
            precision=precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    return fabric
