"""Log lines as JSON objects (`log_as_json`), for collectors such as Loki, Elasticsearch or CloudWatch."""

from __future__ import annotations

import logging
from collections.abc import Iterator

FIELDS = {"asctime": "time", "levelname": "level", "name": "logger"}
"""Names in the JSON output, by the names that `logging` uses."""


def log_as_json() -> None:
    """Write each log record of this process's streams as one line of JSON; calling it again changes nothing.

    Each line has `time` (ISO 8601 with offset), `level`, `logger`, `message`, and the extra fields of the record:
    with Prefect, the ids and names of flow run and task run. Records sent to Prefect's server stay text.
    """
    from pythonjsonlogger.json import JsonFormatter

    formatter = JsonFormatter(
        f"{' '.join(f'{{{name}}}' for name in FIELDS)} {{message}}",
        style="{",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        rename_fields=FIELDS,
    )
    for handler in _stream_handlers():
        handler.setFormatter(formatter)


def _stream_handlers() -> Iterator[logging.Handler]:
    """Yield the handlers of all loggers that write to a stream."""
    known = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    for logger in (logging.root, *known):
        yield from (handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler))
