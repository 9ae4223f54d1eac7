"""What may be wrong with what was asked for, the world, or what is kept: errors that are one line to a user."""

from __future__ import annotations

from infra.catalog.delta_table import WorkspaceRefused
from infra.catalog.schema import CatalogSchemaMismatch
from infra.cluster import ClusterUnreachable
from infra.errors import WorldFault
from infra.settings import SettingsInvalid
from infra.storage.lease import LeaseHeld, LeaseLost, LeaseUnreadable
from infra.storage.location import AccessDenied, KeyRefused, Missing, UrlRefused
from infra.tracking.server import ModelNotFound, TrackingUnreachable
from models.modelfile import ModelFileInvalid
from tasks.media.manifests import ManifestInvalid
from tasks.media.medium import FramesRefused


class PreflightFailed(Exception):
    """Something that was asked for cannot be done; the message names it and the way out."""


REFUSALS = (
    AccessDenied,
    CatalogSchemaMismatch,
    ClusterUnreachable,
    FramesRefused,
    KeyRefused,
    LeaseHeld,
    LeaseLost,
    LeaseUnreadable,
    ManifestInvalid,
    Missing,
    ModelFileInvalid,
    ModelNotFound,
    PreflightFailed,
    TrackingUnreachable,
    SettingsInvalid,
    UrlRefused,
    WorkspaceRefused,
    WorldFault,
)
"""Errors whose message is the one line that a user needs."""
