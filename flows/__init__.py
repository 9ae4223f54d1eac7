"""The Prefect flows, one per module. They contain only wiring; each module docstring shows how to run its flow."""

import os

from infra.prefect import home

# Set before Prefect is imported, which otherwise reports its first use and prints a notice about it.
os.environ.setdefault("DO_NOT_TRACK", "1")
home.prepare(os.environ)
