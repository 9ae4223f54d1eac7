"""The settings of a flow run (`flow_settings`), and what must be in place before anything else of it."""

from __future__ import annotations

from infra.settings import Settings, read_settings


def flow_settings() -> Settings:
    """Read the settings in a flow run, and use the log format and the credentials that they name.

    Raises
    ------
    SettingsInvalid, BlockRefused
        With a message of one line.
    """
    settings = read_settings()
    if settings.log_format == "json":
        from infra.json_logs import log_as_json

        log_as_json()
    if settings.aws_credentials_block is not None:
        from infra.prefect.aws_block import use_aws_block

        use_aws_block(settings.aws_credentials_block)
    return settings
