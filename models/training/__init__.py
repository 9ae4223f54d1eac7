"""The training loop: configuration, exact resume, schedules, objectives."""
