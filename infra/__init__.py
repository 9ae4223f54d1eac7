"""One file for each outside system: settings, storage, catalog, lease, cluster, registry."""
