"""One Prefect flow a file: wiring only. Each docstring opens with the command that runs it."""

import os

from infra import prefect_home

# Before Prefect is imported, which otherwise reports its first use and says so on the terminal.
os.environ.setdefault("DO_NOT_TRACK", "1")
prefect_home.prepare(os.environ)
