"""The Prefect flows and commands, one per module: wiring only. Each module docstring shows how to run it."""

import os
import sys

from flows.running.interrupts import exit_on_ctrl_c
from infra.prefect import home

if sys.argv[:1] == ["-m"]:  # this package is being imported by `python -m flows.NAME`
    exit_on_ctrl_c()
# Set before Prefect is imported, which otherwise reports its first use and prints a notice about it.
os.environ.setdefault("DO_NOT_TRACK", "1")
home.prepare(os.environ)
