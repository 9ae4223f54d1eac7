"""Adapters to everything outside the process: settings, storage, catalog, leases, cluster and model registry."""
