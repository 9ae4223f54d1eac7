"""Groups of settings for the operator of an installation: links to reports (`ReportLinks`), and `Retention`."""

from __future__ import annotations

from pydantic import Field, field_validator

from infra.settings_group import SettingsGroup


class ReportLinks(SettingsGroup):
    """How browsers reach the reports of the workspace; `DERAIN_REPORTS__URL` and so on."""

    url: str | None = None
    """Address at which your web server serves `<workspace>/reports`; Prefect then links each report."""
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


class Retention(SettingsGroup):
    """Days after which `maintain` removes what no run needs; `DERAIN_RETENTION__REPORTS_DAYS` and so on."""

    reports_days: float | None = Field(default=None, gt=0)
    """Days for which pages of runs are kept, including those of curations; unset: indefinitely."""
    plans_days: float | None = Field(default=None, gt=0)
    """Days for which lists of planned images are kept; unset: indefinitely."""
    evaluations_days: float | None = Field(default=None, gt=0)
    """Days for which evaluations are kept, so that a promotion need not measure again; the ledger keeps every
    decision with its figures. Unset: indefinitely."""
    leases_days: float | None = Field(default=None, ge=1)
    """Days for which files of leases that nobody holds are kept; unset: indefinitely."""
    pool_versions_days: float | None = Field(default=None, ge=7)
    """Days for which earlier versions of the pool's table can be read; rows and crops of the newest version stay.
    Unset: indefinitely."""
