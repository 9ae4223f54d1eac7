"""Train any network: `python -m models.train --help`; the loop is `models.training.loop`."""

from models.interruption import one_line_on_ctrl_c

if __name__ == "__main__":
    with one_line_on_ctrl_c():
        from models.training.loop import main

        main()
