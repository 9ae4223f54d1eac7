"""Resolution of a registered model without MLflow (`resolve_here`), whose import takes two seconds."""

from __future__ import annotations

from infra.settings import Settings
from infra.tracking.registry import RegisteredModel
from infra.tracking.server import TrackingServer
from infra.tracking.versions import parse_model_url, read_files


def resolve_here(settings: Settings, url: str) -> RegisteredModel | None:
    """Find a version in the SQLite file of the workspace, as `Registry.resolve` does.

    Parameters
    ----------
    settings : Settings
        Settings that name the workspace.
    url : str
        `models:/name@alias` or `models:/name/version`.

    Returns
    -------
    RegisteredModel or None
        None if the registry is elsewhere, does not have the version, or has unknown tables: `Registry.resolve` then
        finds the version or reports the error.

    Raises
    ------
    StoreDamaged, AccessDenied, TrackingUnreachable
        If the file is damaged or cannot be locked.
    """
    name, alias, number = parse_model_url(url)
    server = TrackingServer(settings)
    with server.found_here(name, alias, number) as found:
        if found is None:
            return None
        version, source = found
        try:
            files = read_files(server, source)
        except OSError:  # reported by Registry.resolve, with the way out
            return None
    return RegisteredModel(name, version, files.weights, files.config)
