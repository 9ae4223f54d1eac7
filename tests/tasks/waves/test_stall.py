"""A run ends even if the thread of a worker hangs for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import psutil
import pytest

from infra.dask.cluster import connect
from infra.failpoints import VARIABLE
from infra.settings import Settings
from tests.support.servers.certificates import written
from tests.support.worlds.batch import World, changed_photo

pytestmark = pytest.mark.slow


def test_a_run_whose_worker_hangs_ends(
    new_world: Callable[..., World], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "decode=hangs.png:hang")
    before = set(psutil.Process().children(recursive=True))
    with connect(Settings(workers=2, _env_file=None)) as client:
        certificates = written(client.security, world.root / "certificates")
        warm = new_world("warm", **certificates.settings(client.scheduler.address), shard_images=1)
        keys = warm.put_photos(4)
        warm.derain()  # once everything is loaded, seconds are a long time
        keys += [warm.put(name, changed_photo(7)).name for name in ("hangs.png", "is next.png", "later.png")]
        impatient = replace(warm, settings=warm.settings.model_copy(update={"stall_seconds": 4.0}))
        failed = impatient.derain()
    assert not set(psutil.Process().children(recursive=True)) - before  # hung thread or not
    assert (failed.state, failed.counts.derained, failed.counts.pending) == ("Failed", 2, 1)
    assert failed.message == (
        "1 images are still pending, run it again to continue with them (hangs.png: no shard came back for 4 s"
        " (DERAIN_STALL_SECONDS): workers hang or are gone, see their logs)"
    )
    assert "hangs.png" not in warm.outputs()
    elsewhere = world.settings.model_copy(update={"workspace": warm.settings.workspace})
    resumed = replace(warm, settings=elsewhere)
    assert (resumed.derain().counts.derained, sorted(resumed.outputs())) == (1, sorted(keys))
