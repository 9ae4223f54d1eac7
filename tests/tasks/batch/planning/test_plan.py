"""A plan follows the rules for any history of an image, and leaves nothing to do once it is carried out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.catalog.derained import Catalog
from infra.errors import ARCHIVED, ObjectNotFound
from infra.records import DerainRecord, ImageRef
from tasks.batch.planning.parts import PART_ROWS
from tasks.batch.planning.plan import Plan, PlanRequest, Redo, plan
from tasks.media.sources import Selection
from tasks.waves.pending import ShardLimits
from tests.support.samples.records import SCOPE, ref, rejected
from tests.support.samples.records import record as derained


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    return Catalog(str(tmp_path))


def request(redo: Redo = "none", digest: str = "model-1", **selection: object) -> PlanRequest:
    return PlanRequest(SCOPE, Selection(**{"include": ("*",), **selection}), redo, digest)


def outputs_of(records: Iterable[DerainRecord]) -> list[ImageRef]:
    return [ref(row.output_key) for row in records if row.output_key]


def carry_out(todo: Plan, catalog: Catalog, minute: int, digest: str = "model-1") -> list[DerainRecord]:
    """Simulate deraining: commit a row for each pending image, shard by shard."""
    rows: list[DerainRecord] = []
    for shard in todo.shards(ShardLimits(3, 10**9)):
        made = [derained(item.key, item.etag, minute, model_digest=digest) for item in shard.items]
        catalog.commit(made, replace=shard.replace)
        rows += made
    return rows


def pending(todo: Plan) -> list[tuple[str, str]]:
    return [(item.key, item.etag) for item in todo.refs()]


def test_without_a_catalog_everything_is_to_do_and_nothing_is_written(catalog, tmp_path):
    def never_listed():
        raise AssertionError("the destination was listed for nothing")
        yield

    with plan(request(), catalog, [ref("b"), ref("a")], never_listed()) as todo:
        assert pending(todo) == [("b", "e1"), ("a", "e1")]
        assert todo.counts.listed == todo.counts.pending == 2
        assert todo.counts.pending_bytes == 2000
        assert [shard.replace for shard in todo.shards(ShardLimits(9, 10**9))] == [False]
    assert list(tmp_path.iterdir()) == []


HISTORIES = {
    "done": ([derained("k")], {}, False),
    "changed": ([derained("k", "e0")], {}, True),
    "output gone": ([derained("k", output_key="elsewhere")], {}, True),
    "rejected": ([rejected("k")], {}, False),
    "rejected, redo": ([rejected("k")], {"redo": "rejected"}, True),
    "rejected, redo stale": ([rejected("k", model_digest="model-0")], {"redo": "stale"}, False),
    "derained, redo rejected": ([derained("k")], {"redo": "rejected"}, False),
    "promotion alone": ([derained("k")], {"digest": "model-2"}, False),
    "stale, redo": ([derained("k")], {"digest": "model-2", "redo": "stale"}, True),
    "not stale, redo": ([derained("k")], {"redo": "stale"}, False),
    "there and back": ([derained("k"), derained("k", "e0", 1)], {}, True),
    "there, back, again": ([derained("k", "e1", 2), derained("k", "e0", 1)], {}, False),
    "was rejected before a change": ([rejected("k", "e0"), derained("k", "e1", 1)], {}, False),
    "another source": ([derained("k", source="s3://other")], {}, True),
    "another destination": ([derained("k", destination="s3://other")], {}, True),
    "another export": ([derained("k", export="same-q92")], {}, True),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_history_decides(catalog, name):
    rows, asked, is_pending = HISTORIES[name]
    catalog.commit(rows, replace=False)
    with plan(request(**asked), catalog, [ref("k")], [ref("k.png")]) as todo:
        assert pending(todo) == ([("k", "e1")] if is_pending else [])
        in_scope = [row for row in rows if (row.source, row.destination, row.export) == tuple(vars_of(SCOPE))]
        knows = any(row.etag == "e1" for row in in_scope)
        assert [shard.replace for shard in todo.shards(ShardLimits(9, 10**9))] == (
            [knows] if is_pending else []
        )


@pytest.mark.parametrize("redo", ["none", "stale", "rejected"])
def test_archived_images_are_pending_once_they_are_restored(catalog: Catalog, redo: Redo) -> None:
    rows = [rejected(key, reason=ARCHIVED) for key in ("still there", "restored")]
    catalog.commit([*rows, derained("archived since")], replace=False)
    listing = [replace(ref("still there"), archived=True), ref("restored")]
    listing += [replace(ref(key), archived=True) for key in ("archived since", "new")]
    with plan(request(redo), catalog, listing, [ref("archived since.png")]) as todo:
        assert [(item.key, item.archived) for item in todo.refs()] == [
            *([("still there", True)] if redo == "rejected" else []),
            ("restored", False),
            ("new", True),
        ]
        assert todo.counts.rejected_for == ({} if redo == "rejected" else {ARCHIVED: 1})


def vars_of(scope) -> list[str]:
    return [scope.source, scope.destination, scope.export]


def test_counts_describe_the_source(catalog):
    rows = [derained("done"), derained("gone"), rejected("bad"), derained("old", model_digest="model-0")]
    catalog.commit([*rows, derained("no longer listed")], replace=False)
    there = [ref("done.png"), ref("old.png")]
    listing = [*(ref(row.key) for row in rows), ref("new"), ref("Thumbs.db")]
    with plan(request(), catalog, listing, there) as todo:
        counts = todo.counts
    assert (counts.listed, counts.skipped, counts.done, counts.pending) == (5, 1, 3, 2)
    assert (counts.gone, counts.rejected, counts.stale) == (1, 1, 1)


def test_a_destination_that_is_gone_has_no_outputs(catalog):
    def missing():
        raise ObjectNotFound("no such bucket")
        yield

    catalog.commit([derained("k")], replace=False)
    with plan(request(), catalog, [ref("k")], missing()) as todo:
        assert todo.counts.gone == 1


def test_limit_takes_the_first_and_stops_listing(catalog):
    def endless():
        number = 0
        while True:
            yield ref(f"{number:06d}.txt" if number % 2 else f"{number:06d}.jpg")
            number += 1

    with plan(request(include=(), limit=3), catalog, endless(), []) as todo:
        assert [item.key for item in todo.refs()] == ["000000.jpg", "000002.jpg", "000004.jpg"]


def test_a_listing_that_breaks_leaves_no_file_open(catalog):
    def broken():
        yield ref("a")
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        plan(request(), catalog, broken(), [])


@dataclass(frozen=True)
class Step:
    """A change between two runs."""

    kind: str
    key: int


STEPS = st.lists(
    st.builds(Step, st.sampled_from(["change", "back", "lose", "reject", "run", "part"]), st.integers(0, 4)),
    max_size=12,
)


@pytest.mark.parametrize("part_rows", [PART_ROWS, 2])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, redo=st.sampled_from(["none", "stale", "rejected"]))
def test_plan_agrees_with_a_plain_model_and_leaves_nothing_to_do(monkeypatch, part_rows, steps, redo):
    """Changes, reverted changes, lost outputs, rejects, complete and aborted runs occur in any order."""
    monkeypatch.setattr("tasks.batch.planning.parts.PART_ROWS", part_rows)
    with TemporaryDirectory() as folder:
        catalog = Catalog(folder)
        etags = dict.fromkeys(range(5), 0)
        latest: dict[int, DerainRecord] = {}
        there: set[int] = set()
        for minute, step in enumerate(steps):
            if step.kind in ("change", "back"):
                etags[step.key] = 1 if step.kind == "change" else 0
            elif step.kind == "lose":
                there.discard(step.key)
            elif step.kind == "reject":
                row = rejected(f"{step.key}", f"e{etags[step.key]}", minute)
                catalog.commit([row], replace=True)
                latest[step.key] = row
            else:
                _run(catalog, etags, latest, there, minute, redo, most=2 if step.kind == "part" else 99)
        _run(catalog, etags, latest, there, 100, redo, most=99)
        with _planned(catalog, etags, there, "none" if redo == "rejected" else redo) as todo:
            assert pending(todo) == []
        identities = catalog.frame().select("key", "etag").rows()
        assert len(identities) == len(set(identities))


def _planned(catalog, etags, there, redo) -> Plan:
    listing = [ref(f"{key}", f"e{etag}") for key, etag in etags.items()]
    return plan(request(redo=redo), catalog, listing, [ref(f"{key}.png") for key in there])


def _run(catalog, etags, latest, there, minute, redo, most) -> None:
    """Plan, compare the plan with a simple version of the rules, and carry out the first `most` images."""
    with _planned(catalog, etags, there, redo) as todo:
        assert sorted(int(item.key) for item in todo.refs()) == [
            key
            for key, etag in etags.items()
            if not _is_done(latest.get(key), f"e{etag}", key in there, redo)
        ]
        left = most
        for shard in todo.shards(ShardLimits(1, 10**9)):
            rows = [derained(item.key, item.etag, minute) for item in shard.items[:left]]
            catalog.commit(rows, replace=shard.replace)
            latest.update({int(row.key): row for row in rows})
            there.update(int(row.key) for row in rows)
            left -= len(rows)


def _is_done(row: DerainRecord | None, etag: str, is_there: bool, redo: str) -> bool:
    if row is None or row.etag != etag:
        return False
    return redo != "rejected" if row.status == "rejected" else is_there


def test_redo_stale_ends_with_the_current_model(catalog):
    listing = [ref(f"{number}") for number in range(8)]
    with plan(request(), catalog, listing, []) as todo:
        rows = carry_out(todo, catalog, 0)
    asked = request(redo="stale", digest="model-2")
    with plan(asked, catalog, listing, outputs_of(rows)) as todo:
        assert todo.counts.pending == todo.counts.stale == 8
        carry_out(todo, catalog, 1, digest="model-2")
    with plan(asked, catalog, listing, outputs_of(rows)) as todo:
        assert todo.counts.pending == 0
    assert set(catalog.frame()["model_digest"]) == {"model-2"}
    assert catalog.frame().height == 8


@settings(max_examples=20, deadline=None)
@given(
    keys=st.sets(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=40), data=st.data()
)
def test_any_text_is_a_key(keys, data):
    done = data.draw(st.sets(st.sampled_from(sorted(keys))))
    with TemporaryDirectory() as folder:
        catalog = Catalog(folder)
        rows = [derained(key, etag=key) for key in done]
        catalog.commit(rows, replace=False)
        listing = [ImageRef(key, key, 1) for key in sorted(keys)]
        with plan(replace(request()), catalog, listing, outputs_of(rows)) as todo:
            named = {key for key, _ in pending(todo)}
            assert named == {key for key in keys - done if Selection(include=("*",)).predicate()(key)}
