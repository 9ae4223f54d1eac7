"""ingest: from images to crops in the pool, and whether the pool has grown or drifted."""
