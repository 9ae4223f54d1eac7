"""Distil a student from a teacher: `python -m models.distill --help`; see `models.training.distill.run`."""

from models.training.distill.run import main

if __name__ == "__main__":
    main()
