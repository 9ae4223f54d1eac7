"""Distillation of a student from frozen teachers."""
