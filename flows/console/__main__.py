"""The entry point of `derain`, also as `python -m flows.console`."""

from flows.running.interrupts import exit_on_ctrl_c


def main() -> None:
    """Run the command that was typed in the shell, and exit; even during imports, Ctrl-C prints only one line."""
    exit_on_ctrl_c()
    from flows.console import app

    app.main()


if __name__ == "__main__":
    main()
