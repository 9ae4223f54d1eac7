"""Groups of settings for whoever operates an installation: how people reach reports (`ReportLinks`)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ReportLinks(BaseModel):
    """How browsers reach the reports of the workspace; `DERAIN_REPORTS__URL` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str | None = None
    """Address at which a web server of yours serves `<workspace>/reports`; Prefect then links each report."""
    presigned_hours: float | None = Field(default=None, gt=0, le=168)
    """Hours for which a report in a bucket can be opened by its link in Prefect. Whoever sees the link can open the
    report; it holds a signature and the key id, but no secret. Unset: no such links."""

    @field_validator("url", mode="before")
    @classmethod
    def _is_for_browsers(cls, value: str | None) -> str | None:
        if not value:
            return None
        if not value.startswith(("https://", "http://")):
            raise ValueError("an address for browsers begins with https:// or http://")
        return value.rstrip("/")
