"""Training from the command line with curves and pictures in MLflow, in addition to the files of `models.train`.

    python -m tasks.training --preset student-base --data DATA --out checkpoints/student-base

The options are those of `python -m models.train`, which needs only PyTorch.
"""

from models.interruption import one_line_on_ctrl_c

with one_line_on_ctrl_c():
    from tasks.training.command import main

    main()
