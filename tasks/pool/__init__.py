"""Ingest: cutting images into the crops of the training pool, and reporting the pool's growth."""
