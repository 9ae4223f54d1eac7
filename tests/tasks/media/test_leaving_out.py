from __future__ import annotations

from collections import Counter

import pytest

from infra.storage.listing import LeftOut
from tasks.media.leaving_out import describe_left_out, left_out_parts


@pytest.mark.parametrize(
    ("folders", "part"),
    [
        ({"excluded": 1}, "1 folder not entered (1 excluded)"),
        ({"excluded": 1, "unreadable": 2}, "3 folders not entered (2 unreadable, 1 excluded)"),
    ],
)
def test_folders_that_were_not_entered_are_counted(folders: dict[str, int], part: str):
    left_out = LeftOut(Counter({".txt": 1}), Counter(folders))
    assert left_out_parts(left_out) == ["1 left out (1 .txt)", part]
    assert describe_left_out(left_out) == f"1 other object: 1 .txt; {part}"
