"""The Prefect tasks of each stage, and beside them the plain functions that workers run."""
