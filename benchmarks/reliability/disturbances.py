"""Disturbances of runs: each function starts and disturbs a run, with random details, and waits for its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from benchmarks.reliability.episode import KILL_AT, Episode
from benchmarks.reliability.victim import LEASE_SECONDS
from infra.failpoints import VARIABLE
from infra.storage.location import open_location

HOUR = 3600.0


def killed_at_random(episode: Episode) -> None:
    """Send SIGKILL at a random moment."""
    running = episode.start()
    episode.wait_a_while(running)
    running.signal(signal.SIGKILL)
    episode.finish(running)


def killed_at_failpoint(episode: Episode) -> None:
    """Send SIGKILL at a failpoint, for one photograph or for the first one that reaches it."""
    place = episode.random.choice(KILL_AT)
    key = episode.random.choice(sorted(episode.world.versions))
    named = {"decode": key, "during-put": key.rpartition("/")[2], "after-put": key}
    where = f"{place}={named[place]}" if place in named else place
    environment = {**episode.environment, VARIABLE: f"{where}:self"}
    episode.finish(episode.start(environment=environment))


def interrupted(episode: Episode) -> None:
    """Send Ctrl-C or SIGTERM at a random moment."""
    running = episode.start()
    episode.wait_a_while(running)
    running.signal(episode.random.choice((signal.SIGINT, signal.SIGTERM)))
    episode.finish(running)


def rivals(episode: Episode) -> None:
    """Run two coordinators at the same time."""
    both = [episode.start(), episode.start()]
    for running in both:
        episode.finish(running)


def frozen_rival(episode: Episode) -> None:
    """Freeze a coordinator until another one has taken over its lease, then let it continue."""
    frozen = episode.start()
    episode.wait_a_while(frozen)
    frozen.signal(signal.SIGSTOP)
    time.sleep(2 * LEASE_SECONDS)
    rival = episode.start()
    rival.wait_for_puts(episode.random.randrange(6))
    episode.thawed(frozen)
    frozen.signal(signal.SIGCONT)
    episode.finish(rival)
    episode.finish(frozen)


def full_disk(episode: Episode) -> None:
    """Limit the disk to a few more files, or to small ones."""
    if episode.random.random() < 0.5:
        limits: dict[str, object] = {"writes_left": episode.random.randrange(24)}
    else:
        limits = {"largest_file": episode.random.randrange(200, 20_000)}
    environment = {**episode.environment, "DERAIN_RETRY_SECONDS": "0.2"}
    episode.finish(episode.start(environment=environment, **limits))


def clock_jump(episode: Episode) -> None:
    """Make the clock jump by hours, forward or back, after the first put."""
    shift = episode.random.choice((-1, 1)) * episode.random.uniform(0.5, 48) * HOUR
    running = episode.start(clock_shift=shift)
    if episode.random.random() < 0.5:
        episode.wait_a_while(running)
        running.signal(signal.SIGKILL)
    episode.finish(running)


def changed_source(episode: Episode) -> None:
    """Replace a photograph by another one, before a run or during it."""
    _act_in_thread(episode, _change_source)


def truncated_source(episode: Episode) -> None:
    """Truncate a photograph while a run may read it, and restore it afterwards."""
    key = episode.random.choice(sorted(episode.world.versions))
    source = open_location(episode.world.source)
    running = episode.start()
    episode.wait_a_while(running)
    whole = source.fetch(key)
    source.put(key, whole[: len(whole) // 2])
    episode.damaged(key)
    episode.finish(running)
    source.put(key, whole)
    episode.damaged(key)


def damaged_output(episode: Episode) -> None:
    """Empty, replace or remove an output, before a run or during it."""
    _act_in_thread(episode, _damage_output)


def undisturbed(episode: Episode) -> None:
    """Do nothing; only the storage may fail."""
    episode.finish(episode.start())


EVERYWHERE: dict[str, Callable[[Episode], None]] = {
    "killed at random": killed_at_random,
    "killed at a failpoint": killed_at_failpoint,
    "interrupted": interrupted,
    "rivals": rivals,
    "frozen rival": frozen_rival,
    "clock jump": clock_jump,
    "changed source": changed_source,
    "truncated source": truncated_source,
    "damaged output": damaged_output,
}
ON_FOLDERS = {**EVERYWHERE, "full disk": full_disk}
ON_FAULTY_S3 = {**EVERYWHERE, "faulty S3 alone": undisturbed}


def _act_in_thread(episode: Episode, act: Callable[[Episode], None]) -> None:
    is_early = episode.random.random() < 0.5
    if is_early:
        act(episode)
    running = episode.start()
    if not is_early:
        episode.wait_a_while(running)
        act(episode)
    episode.finish(running)


def _change_source(episode: Episode) -> None:
    episode.change(episode.random.choice(sorted(episode.world.versions)))


def _damage_output(episode: Episode) -> None:
    key = episode.random.choice(sorted(episode.world.versions))
    destination = open_location(episode.world.destination)
    if not destination.exists(key):
        return
    kind = episode.random.choice(("emptied", "replaced", "removed"))
    if kind == "removed":
        destination.delete(key)
    else:
        destination.put(key, b"" if kind == "emptied" else b"somebody else's, of another size")
    episode.damaged(key)
