"""Train any network: `python -m models.train --help`; the options are in `models.training.command`."""

from models.interruption import one_line_on_ctrl_c

if __name__ == "__main__":
    with one_line_on_ctrl_c():
        from models.training.command import main

        main()
