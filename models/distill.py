"""Distil a student from a teacher: `python -m models.distill --help`; see `models.training.distill.run`."""

from models.interruption import one_line_on_ctrl_c

if __name__ == "__main__":
    with one_line_on_ctrl_c():
        from models.training.distill.run import main

        main()
