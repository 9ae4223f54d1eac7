"""Shards sent to workers and what comes back of them, wave by wave."""
