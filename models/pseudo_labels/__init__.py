"""Confidence scores of derained real photographs without ground truth."""
