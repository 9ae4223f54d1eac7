"""Every object of a source is accounted for: done, rejected by reason, pending, or left out by reason."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.catalog.derained import Catalog
from infra.records import Scope
from infra.storage.listing import LeftOut
from infra.storage.location import open_location
from infra.storage.temporary_files import temporary_name
from tasks.batch.coordinator import plan_line
from tasks.batch.planning.made_by import MadeBy
from tasks.batch.planning.plan import PlanCounts, PlanRequest, plan
from tasks.media.sources import Selection, open_source
from tests.support.samples.records import record as derained
from tests.support.samples.records import rejected
from tests.support.worlds.batch import World, changed_photo

Make = Callable[[Path], None]


def image(path: Path) -> None:
    path.write_bytes(b"\xff\xd8\xff\xe0")


def text(path: Path) -> None:
    path.write_text("it rained")


KINDS: Mapping[str, tuple[str, Make]] = {
    "image": ("{}.jpg", image),
    "image in capitals": ("{}.JPEG", image),
    "image without a suffix": ("{}", image),
    "text without a suffix": ("{}", text),
    "other suffix": ("{}.heic", image),
    "backup": ("{}.jpg~", image),
    "leftover": ("._{}.jpg", image),
    "excluded": ("old-{}.jpg", image),
    "pipe": ("{}.jpg", os.mkfifo),
    "broken link": ("{}.jpg", lambda path: path.symlink_to("nothing")),
    "half-written": (".derain-{}", lambda path: text(path.with_name(temporary_name()))),
}
FOLDERS = ("", "day", "day/noon", "excluded", "@eaDir", "day/#recycle")
NOT_ENTERED = ("excluded", "@eaDir", "day/#recycle")
FILES = st.lists(st.tuples(st.sampled_from(FOLDERS), st.sampled_from(sorted(KINDS))), max_size=25)
HISTORY = st.lists(st.sampled_from(["new", "derained", "gone", "zero bytes", "truncated JPEG (7 of 9)"]))


@settings(max_examples=40, deadline=None)
@given(files=FILES, history=HISTORY, limit=st.none() | st.integers(1, 5))
def test_the_sum_of_what_is_said_is_the_number_of_objects(
    files: list[tuple[str, str]], history: list[str], limit: int | None
) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder, "source")
        for number, (parent, kind) in enumerate(files):
            name, make = KINDS[kind]
            path = source / parent / name.format(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
        source.mkdir(exist_ok=True)
        selection = Selection(exclude=("old-*", "*/old-*", "excluded/"), limit=limit)
        counts = counted(source, selection, history, Path(folder))
    there = sum(parent not in NOT_ENTERED for parent, _ in files)
    if counts.left_out.stopped_at is None:
        assert counts.objects == there
        assert counts.left_out.folders.total() == len({parent for parent, _ in files} & {*NOT_ENTERED})
    assert counts.objects <= there
    assert counts.derained + sum(counts.rejected_for.values()) + counts.pending == counts.listed
    assert_adds_up(plan_line(counts), counts.objects)


def test_the_photographs_of_a_workspace_in_the_source_are_left_out(world: World) -> None:
    world.put("a.png", changed_photo(1))
    world.put("var/samples/b.png", changed_photo(2))
    inside = replace(world, settings=world.settings.model_copy(update={"workspace": f"{world.source}/var"}))
    summary = inside.derain()
    assert (summary.counts.derained, summary.counts.left_out.folders) == (1, {"excluded": 1})
    assert list(world.outputs()) == ["a.png"]


def test_the_line_of_status_says_which_models_made_what_is_done() -> None:
    made = (MadeBy("derain-student", "2", "d" * 64, 2), MadeBy("tiny", "file", "f" * 64, 1))
    line = plan_line(PlanCounts(listed=3, done=3, made_by=made))
    assert line.startswith("3 objects: 3 done (2 by derain-student/2, 1 by tiny (ffffffff)), 0 rejected")


def counted(source: Path, selection: Selection, history: list[str], folder: Path) -> PlanCounts:
    """Plan twice: once to list the source, and once with a history of the listed images in the catalog."""
    scope = Scope(str(source), str(folder / "derained"), "same")
    request, catalog = PlanRequest(scope, selection, "none", "model-1"), Catalog(str(folder / "workspace"))
    with plan(request, catalog, open_source(str(source)).refs(selection.rules(LeftOut())), []) as todo:
        refs = list(todo.refs())
    rows = []
    for ref, state in zip(refs, history, strict=False):
        place = {"source": scope.source, "destination": scope.destination, "export": scope.export}
        if state in ("derained", "gone"):
            rows.append(derained(ref.key, ref.etag, **place))
            if state == "derained":
                open_location(scope.destination).put(str(rows[-1].output_key), b"derained")
        elif state != "new":
            rows.append(rejected(ref.key, ref.etag, reason=state, **place))
    catalog.commit(rows, replace=False)
    left_out = LeftOut()
    listing = open_source(str(source)).refs(selection.rules(left_out, scope.destination))
    with plan(request, catalog, listing, open_location(scope.destination).list(), left_out) as todo:
        return todo.counts


def assert_adds_up(line: str, objects: int) -> None:
    """Add up the numbers of a line of status or of a run, with those by reason in brackets."""
    reported = line.split("; listed up to")[0].replace(",", "")
    parts = re.findall(
        r"(\d+) (objects|derained|done|rejected|pending|left out)( before)?( \([^)]*\))?", reported
    )
    numbers = [int(number) for number, what, *_ in parts if what != "objects"]
    assert sum(numbers) == objects, line
    for number, what, _, reasons in parts:
        if what in ("rejected", "left out") and reasons:
            assert sum(map(int, re.findall(r"(?:^|(?<=[(\w~] )|\()(\d+)(?= )", reasons))) == int(number), line


@pytest.mark.slow
def test_the_last_line_of_a_run_accounts_for_every_object(world: World) -> None:
    keys = world.put_photos(3)
    others = {"empty.jpg": b"", "a.heic": b"x", "b.heic": b"x", "c.txt": b"x", "day/._d.jpg": b"x", "e": b"x"}
    for key, data in {**others, "@eaDir/f.jpg": b"x"}.items():
        world.put(key, data)
    first = world.derain(limit=3).line()
    assert first.startswith("2 derained, 1 rejected (1 zero bytes), 0 pending")
    assert "listed up to --limit 3" in first
    line = world.derain().line()
    assert line.startswith("1 derained, 0 rejected")
    assert "5 left out (2 .heic" in line
    assert "1 rejected before (1 zero bytes)" in line
    assert "1 folder not entered (1 NAS or desktop leftover)" in line
    assert_adds_up(line, len(keys) + len(others))
