"""The stages: Prefect tasks, and the plain functions that workers run.

From the ground up: `codec` and `media` (images, and where they are), `waves` (work sent to workers), `pages` (what
people look at afterwards), then the stages `batch`, `pool`, `promotion`, `curation` and `training`. Each may use
those before it, but no other stage stands on `batch`.
"""
