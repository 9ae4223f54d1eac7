"""The base class of groups of settings (`SettingsGroup`), and what an empty variable means (`EmptyIsUnset`)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class EmptyIsUnset(BaseModel):
    """Settings of which an empty text stands for the default."""

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any, info: ValidationInfo) -> Any:
        if value == "" and info.field_name is not None:
            return cls.model_fields[info.field_name].get_default()
        return value


class SettingsGroup(EmptyIsUnset):
    """A group of settings, given one by one (`DERAIN_GATES__PSNR_Y`) or as JSON (`DERAIN_GATES`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
