"""Archived objects get a row with that reason, and are derained once they are restored."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from infra.errors import ARCHIVED, ObjectArchived
from infra.records import ImageRef
from infra.settings import Settings
from infra.storage.location import open_location
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec
from tasks.media.photographs import Photographs
from tests.support.worlds.batch import changed_photo, model_path
from tests.support.worlds.batch_driver import Asked, derain


def test_objects_listed_as_archived_are_not_requested() -> None:
    medium = Photographs(MediumSpec("s3://nowhere", "s3://nowhere", Export("same"), 1000))
    with pytest.raises(ObjectArchived):
        medium.fetch(ImageRef("a.jpg", "e", 1, archived=True))


@pytest.mark.slow
def test_an_archived_object_is_rejected_and_taken_up_once_it_is_restored(moto: str, tmp_path: Path) -> None:
    client, bucket = boto3.client("s3"), moto.removeprefix("s3://")
    open_location(moto).put("rainy/at hand.png", changed_photo(1))
    client.put_object(Bucket=bucket, Key="rainy/away.png", Body=changed_photo(2), StorageClass="GLACIER")
    settings = Settings(workspace=str(tmp_path / "workspace"), workers=1, _env_file=None)
    asked = Asked(f"{moto}/rainy", str(tmp_path / "derained"), str(model_path(tmp_path)))
    first, again = derain(settings, asked), derain(settings, asked)
    assert (first.state, first.counts.derained, first.counts.rejected_for) == ("Completed", 1, {ARCHIVED: 1})
    assert (again.state, again.counts.done_before, again.counts.rejected_for) == (
        "Completed",
        1,
        {ARCHIVED: 1},
    )
    client.restore_object(Bucket=bucket, Key="rainy/away.png", RestoreRequest={"Days": 1})
    restored = derain(settings, asked)
    assert (restored.counts.derained, restored.counts.rejected) == (1, 0)
    assert sorted(path.name for path in (tmp_path / "derained").iterdir()) == ["at hand.png", "away.png"]
    assert derain(settings, asked).counts.done_before == 2
