"""Generator of the documentation page of all settings, from the class that defines them.

python -m infra.settings_table > docs/reference/settings.md
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import get_annotations
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from infra import limits, operation, settings
from infra.settings_faults import PREFIX

HEAD = """\
# Settings

Settings are environment variables or lines of a `.env` file. The environment takes precedence, then `.env` in the
current folder, then `.env` in the project's folder. An empty variable means the default. A misspelt name is
refused. The containers of `compose.yaml` read no `.env` file: settings other than source, destination and workspace
belong in `storage.env` next to it.
`python -m infra.settings_table` generates this page from the classes.

| variable | meaning | default |
|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table: a variable, its meaning and its default."""

    variable: str
    meaning: str
    default: str


def all_settings() -> Iterator[Setting]:
    """Yield every setting in source order, with one variable per setting of a group."""
    meanings: dict[tuple[str, str], str] = {}
    for module in (settings, limits, operation):
        meanings |= _meanings(Path(str(module.__file__)).read_text(encoding="utf-8"))
    yield from _settings_of(settings.Settings, PREFIX, meanings)


def page() -> str:
    """Return the documentation page of all settings as Markdown."""
    rows = (f"| `{each.variable}` | {each.meaning} | {each.default} |\n" for each in all_settings())
    return HEAD + "".join(rows)


def _settings_of(
    kind: type[BaseModel], prefix: str, meanings: dict[tuple[str, str], str]
) -> Iterator[Setting]:
    for name, field in kind.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.default, BaseModel):
            yield from _settings_of(type(field.default), f"{variable}__", meanings)
            continue
        owner = next(base.__name__ for base in kind.__mro__ if name in get_annotations(base))
        yield Setting(variable, _cell(meanings.get((owner, name), "")), _default(field))


def _default(field: FieldInfo) -> str:
    if field.default is None:
        return "unset"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{_cell(str(value))}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _meanings(source: str) -> dict[tuple[str, str], str]:
    """Return the docstring below each attribute, by class and name."""
    found = {}
    for kind in ast.parse(source).body:
        body = kind.body if isinstance(kind, ast.ClassDef) else []
        for line, after in pairwise(body):
            is_attribute = isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if is_attribute and is_text:
                found[kind.name, line.target.id] = str(after.value.value)  # type: ignore[attr-defined]
    return found


if __name__ == "__main__":
    sys.stdout.write(page())
