"""Prefect: its home and environment, a temporary server, bare deployment names and concurrency warnings."""
