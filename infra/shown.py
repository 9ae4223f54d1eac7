"""`shown` makes text safe to display in a terminal, a log, a state or a table; `is_text` says what is text at all.

Whoever fills a bucket chooses its keys, which may contain terminal escape sequences; URLs of servers and databases
may contain passwords. Both are removed here.
"""

from __future__ import annotations

import logging
import re

_UNSHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and newline, marks that change the direction of text, and lone surrogates."""
_USER = re.compile(r"""(?<=://)(?:[^/\s"'<>]*@|[^:/\s@]*:(?!\d+/)[^@\s]*@)""")
"""User and password of a URL. A password may contain a slash only after a colon that is not followed by a port."""
_SECRET = re.compile(
    r"([?&][\w.-]*(?:password|passwd|secret|token|signature|credential)[\w.-]*=)[^&\s#]+", re.I
)
"""Query parameters of a URL whose name suggests a secret."""


def shown(text: str) -> str:
    """Escape control characters, and hide users, passwords and secret parameters of URLs.

    Parameters
    ----------
    text : str
        Any text; tabs and newlines are kept.
    """
    if "://" in text:
        text = _SECRET.sub(r"\1***", _USER.sub("***@", text))
    return _UNSHOWN.sub(lambda found: repr(found[0])[1:-1], text)


def shown_line(text: str) -> str:
    """Return `shown` text on one line, with newlines escaped too."""
    return shown(text).replace("\n", "\\n")


def is_text(text: str) -> bool:
    """Return whether a text is valid Unicode, which buckets, tables and reports need.

    A file name that is not UTF-8 arrives with lone surrogates in place of its odd bytes.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def guard_logs() -> None:
    """Make every log record of this process consist of `shown` text, including tracebacks; one call is enough."""
    make = logging.getLogRecordFactory()
    if getattr(make, "is_guarded", False):
        return

    def make_shown(*arguments: object, **named: object) -> logging.LogRecord:
        record = make(*arguments, **named)
        message = record.getMessage()
        if shown(message) != message:  # formatters may need the arguments of other records
            record.msg, record.args = shown(message), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = shown(logging.Formatter().formatException(record.exc_info))
        return record

    make_shown.is_guarded = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(make_shown)
