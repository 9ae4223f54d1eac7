"""Waves as task runs of the flow run (`as_task_run`); without a flow run, Prefect is not imported."""

from __future__ import annotations

from collections.abc import Callable

from tasks.prefect_runs import is_in_flow_run


def as_task_run(name: str | None, number: int, work: Callable[[], None]) -> None:
    """Run `work` as the task run `<name>-<number>` of the flow run; call it directly without a name or a flow run.

    The message of an expected error becomes that of the failed task run, without a traceback. The work is done even
    if Prefect's server does not answer.

    Raises
    ------
    Exception
        Any exception of `work`.
    """
    if name is None or not is_in_flow_run():
        work()
        return
    from tasks.prefect_tasks import run_piece

    run_piece(name, number, work)
