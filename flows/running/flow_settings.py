"""The settings of a flow run (`flow_settings`) or of another command, with log format and credentials applied."""

from __future__ import annotations

from infra.settings import Settings, read_settings
from infra.storage.location import is_local


def flow_settings() -> Settings:
    """Read the settings of a flow run, and apply the log format and the credentials that they name.

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


def command_settings(*places: str | None) -> Settings:
    """Read the settings of a command that is not a flow.

    If one of its places is a bucket, the credentials block that the settings name is used: it is read from the
    Prefect server of the environment or, without one, from a temporary server of this user.

    Parameters
    ----------
    *places : str or None
        URLs that the command was given, in addition to those of the settings.

    Raises
    ------
    SettingsInvalid, PrefectServerRefused, BlockRefused
        With a message of one line.
    """
    settings = read_settings()
    block = settings.aws_credentials_block
    known = (*places, settings.workspace, settings.source, settings.destination)
    if block is not None and not all(place is None or is_local(place) for place in known):
        from flows.running.prefect_server import prefect_server  # imports Prefect only for a block
        from infra.prefect.aws_block import use_aws_block

        with prefect_server():
            use_aws_block(block)
    return settings
