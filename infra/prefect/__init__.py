"""Prefect: its home and environment, a temporary server, bare deployment names, alerts and concurrency warnings."""
