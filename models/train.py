"""Train any network: `python -m models.train --help`; the loop is `models.training.loop`."""

from models.training.loop import main

if __name__ == "__main__":
    main()
