"""The Prefect tasks of each stage, and beside them the plain functions that workers run.

From the ground up: `codec` and `media` (images, and where they are), `waves` (work sent to workers), then the
stages `batch`, `pool`, `promotion`, `curation` and `training`. Each may use those before it.
"""
