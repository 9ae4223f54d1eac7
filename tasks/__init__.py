"""The work of the flows: Prefect tasks, and the plain functions that workers run.

From the lowest layer up, these are `codec` and `media` (images and their storage), `waves` (work on workers),
`pages` (HTML reports), and `batch`, `pool`, `promotion`, `curation` and `training`. Each may use those before it,
but none depends on `batch`.
"""
