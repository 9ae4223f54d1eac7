"""The console command `derain`, which runs derain-batch without a Prefect server, and its sub-commands.

derain photo.jpg
derain rainy/ derained/
derain status rainy/ derained/

Modules import heavy packages (PyTorch, MLflow, Dask) in the functions that need them, so that a mistyped path is
refused at once.
"""
