"""Synthetic rain: banks of photographs and streaks, recipes, rendering, degradations of the camera."""
