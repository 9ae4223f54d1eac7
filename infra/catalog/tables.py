"""The list of all tables of a catalog."""

from __future__ import annotations

from infra.catalog import derained, pool, promotions, pseudo_labels

TABLES = (derained.TABLE, pool.TABLE, pseudo_labels.TABLE, promotions.TABLE)
