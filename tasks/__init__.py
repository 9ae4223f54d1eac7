"""The work of the flows: Prefect tasks, and the plain functions that workers run.

From the lowest layer up, these are `codec` and `media` (images and their storage), `workers` (what jobs use on a
worker), `waves` (the runner of stages), `pages` (HTML reports), and `batch`, `pool`, `promotion`, `curation` and
`training`. Each may use those before it, but none depends on `batch`.
"""
