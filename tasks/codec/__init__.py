"""The image codec behind `tasks.images`: any photograph's bytes to pixels and back."""
