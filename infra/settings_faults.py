"""Faults of `DERAIN_*` variables in words: unknown names (`unknown_variables`) and invalid values."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dotenv import dotenv_values
from pydantic import BaseModel, ValidationError
from pydantic_settings import BaseSettings, SettingsError

from infra.errors import one_line

PREFIX = "DERAIN_"
OTHER_VARIABLES = frozenset(
    PREFIX + name for name in ("DATA", "FAULT", "IMAGE", "LISTEN", "TEST_CONTAINERS", "TEST_DATA", "USER")
)
"""Variables other than settings: those of `compose.yaml`, of tests and of `infra.failpoints`."""
_SERVICE = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT(_\d+_(TCP|UDP)(_\w+)?)?$")
"""Variables that Kubernetes makes for each service, such as `DERAIN_SCHEDULER_PORT` for `derain-scheduler`."""
_PATTERNS = {
    "DERAIN_DEVICE": "a device is auto, cpu, cuda or cuda:N",
    "DERAIN_RESOURCES": "resources are given as for a Dask worker, as in GPU=1",
}
"""Sentences for values that do not match a pattern."""


def variables(kind: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    """Yield the variables of all settings, those of groups (as JSON) included."""
    for name, field in kind.model_fields.items():
        yield f"{prefix}{name}".upper()
        if isinstance(field.default, BaseModel):
            yield from variables(type(field.default), f"{prefix}{name}__")


def unknown_variables(kind: type[BaseSettings]) -> list[str]:
    """Return the variables of the environment and the `.env` files that begin like a setting but are none."""
    given = {name.upper() for name in os.environ}
    files = kind.model_config.get("env_file") or ()
    for file in [files] if isinstance(files, str | os.PathLike) else files:
        if Path(file).is_file():
            given |= {name.upper() for name in dotenv_values(file)}
    unknown = {name for name in given if name.startswith(PREFIX)} - set(variables(kind)) - OTHER_VARIABLES
    return sorted(name for name in unknown if not _SERVICE.search(name))


def way_out(kind: type[BaseModel], variable: str) -> str | None:
    """Return what was probably meant by an unknown variable; None if nothing is known that resembles it."""
    group, _, name = variable.rpartition("__")
    same_group = [each for each in variables(kind) if group and each.startswith(f"{group}__")]
    names = {each.removeprefix(PREFIX): each for each in variables(kind)}
    near = difflib.get_close_matches(
        name, [each.rpartition("__")[2] for each in same_group], n=1, cutoff=0.75
    )
    if near:
        return f"did you mean {group}__{near[0]}? Correct or remove the variable"
    near = difflib.get_close_matches(variable.removeprefix(PREFIX), names, n=1, cutoff=0.85)
    if near and not same_group:
        return f"did you mean {names[near[0]]}? Correct or remove the variable"
    if same_group:
        known = ", ".join(each.removeprefix(f"{group}__") for each in same_group)
        return f"{group}__ has {known}; correct or remove the variable"
    return None


def invalid_line(kind: type[BaseModel], error: ValidationError) -> str:
    """Describe the first invalid value in one line that names its variable."""
    first = error.errors()[0]
    variable = PREFIX + "__".join(str(part) for part in first["loc"]).upper()
    if first["type"] == "extra_forbidden":
        return f"{variable}: there is no such setting; {way_out(kind, variable)}"
    if first["type"] == "model_type":
        return f"{variable}={first['input']} is not a JSON object; {_one_of(kind, variable)}"
    fault = first["msg"].removeprefix("Value error, ").removeprefix(f"{first['input']}: ")
    if first["type"] == "string_pattern_mismatch":
        fault = _PATTERNS.get(variable, fault)
    return f"{variable}={first['input']}: {fault}"


def not_json_line(kind: type[BaseModel], error: SettingsError) -> str:
    """Describe a group of settings that is not JSON, in one line."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return one_line(error)
    variable = f"{PREFIX}{named[1]}".upper()
    return f"{variable} is not JSON; {_one_of(kind, variable)}"


def _one_of(kind: type[BaseModel], group: str) -> str:
    """Say how a single setting of a group is set."""
    fields = type(kind.model_fields[group.removeprefix(PREFIX).lower()].default).model_fields
    defaults = {name: field.default for name, field in fields.items()}
    name = next(
        (name for name, default in defaults.items() if isinstance(default, float)), next(iter(fields))
    )
    value = "..." if defaults[name] is None else defaults[name]
    return f"correct it, or set one of its settings, as in {group}__{name.upper()}={value}"
