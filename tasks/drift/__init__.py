"""Drift detection: permutation tests of whether the newest photographs differ from earlier ones."""
