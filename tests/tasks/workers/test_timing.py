from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor

from tasks.workers.timing import Phase, ShardClock


def compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_computing_is_cpu_time_of_its_phase():
    clock = ShardClock()
    for phase in (Phase.DERAIN, Phase.DERAIN, Phase.ENCODE):
        with clock.phase(phase):
            compute(0.02)
    timing = clock.read()
    assert timing.cpu_of[Phase.DERAIN] >= 0.04
    assert timing.cpu_of[Phase.ENCODE] >= 0.02
    assert timing.cpu_of[Phase.DECODE] == 0
    assert timing.wall_of[Phase.DERAIN] >= timing.cpu_of[Phase.DERAIN] * 0.99
    assert clock.image_seconds == timing.cpu_of[Phase.DERAIN] + timing.cpu_of[Phase.ENCODE]
    assert timing.ended - timing.began >= timing.cpu_seconds * 0.99 >= 0.06 * 0.99


def test_waiting_is_wall_time_and_no_work_on_images():
    clock = ShardClock()
    with clock.phase(Phase.AWAIT_FETCH):
        time.sleep(0.02)
    timing = clock.read()
    assert timing.wall_of[Phase.AWAIT_FETCH] >= 0.02
    assert timing.cpu_of[Phase.AWAIT_FETCH] < timing.wall_of[Phase.AWAIT_FETCH]
    assert clock.image_seconds == 0


def test_threads_in_the_background_count_apart():
    clock = ShardClock()

    def put() -> None:
        with clock.phase(Phase.PUT):
            compute(0.02)

    with ThreadPoolExecutor(2) as threads:
        for _ in range(2):
            threads.submit(put)
    timing = clock.read()
    assert timing.cpu_of[Phase.PUT] >= 0.04
    assert timing.cpu_seconds < 0.04
    assert clock.image_seconds == 0


def test_a_failed_phase_counts_too_and_timings_travel():
    clock = ShardClock()
    try:
        with clock.phase(Phase.DECODE):
            compute(0.01)
            raise ValueError
    except ValueError:
        timing = clock.read()
    assert timing.cpu_of[Phase.DECODE] >= 0.01
    assert pickle.loads(pickle.dumps(timing)) == timing
