"""Drift detection: permutation tests that compare the newest photographs with earlier ones."""
