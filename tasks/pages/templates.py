"""The templates of the pages (`page_template`), and the filters that they share."""

from __future__ import annotations

import unicodedata
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from tasks.readable import duration, rate

# Joiners shape letters and emoji; the other invisible characters can reorder or hide parts of a key.
JOINERS = "\u200c\u200d"
INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def page_template(name: str) -> Template:
    """Load the template of a page from this package; each extends `base.html`."""
    environment = Environment(
        loader=PackageLoader("tasks.pages", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        visible=visible,
        number=lambda value: f"{value:,}",
        rate=rate,
        duration=duration,
        moment=_moment,
        csp_hash=_csp_hash,
    )
    return environment.get_template(name)


def visible(text: str) -> str:
    r"""Show invisible and reordering characters as escapes (`\u202e`), so that no key can pose as another."""
    return "".join(
        char.encode("unicode_escape", "surrogatepass").decode("ascii") if _is_invisible(char) else char
        for char in text
    )


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in INVISIBLE and char not in JOINERS


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _csp_hash(script: str) -> str:
    """Return the hash of a script for the page's content security policy, which blocks all other scripts."""
    return "sha256-" + b64encode(sha256(script.encode()).digest()).decode()
