"""Semi-supervised training on real rain (Semi-DRDNet)."""
