"""The console command `derain`: the runs of derain-batch without a Prefect server, and what belongs to them.

derain photo.jpg
derain rainy/ derained/
derain status rainy/ derained/

Modules import what is heavy (PyTorch, MLflow, Dask) in the functions that need it: a mistyped path is refused at
once.
"""
