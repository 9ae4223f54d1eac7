"""The check of wording finds what it should, in prose alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.style.english import findings, names, prose


@pytest.mark.parametrize(
    "line",
    [
        "64 crops a shard",
        "Tell whether it is there.",
        "what was told last",
        "figures beside the champion's",
        "at most so many images",
        "figures beside PReNet's",
        "The run goes on where it was stopped.",
        "It is no module.",
        "outputs that are not there any more",
        "3 images are to do",
        '    """Least share of detail."""',
        '"""What a run leaves."""',
        '"""Of the champion, after ingest."""',
        "preset 'huge': there is no such one",
        "Read the teachers and let lessons be written.",
        "Return the terms, as `Network.loss_terms` says.",
    ],
)
def test_dialect_is_found(line: str):
    assert [found[0] for found in findings(line)] == [1]


@pytest.mark.parametrize(
    "line",
    [
        "64 crops per shard",
        "as much as fits",
        "twice so much as before",
        "a crop of a shard",
        "There is no such name.",
        "It is no longer held.",
        "It is no better than before.",
        "If there is nothing to do, the run ends.",
    ],
)
def test_plain_english_passes(line: str):
    assert list(findings(line)) == []


def test_code_is_not_prose(tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text(
        '"""One line."""\n\ntold = "told"\nx = 1  # told\n\n\ndef f():\n    """Tell whether."""\n'
    )
    assert prose(module).split("\n") == [
        '"""One line."""',
        "",
        "",
        "# told",
        "",
        "",
        "",
        '    """Tell whether."""',
        "",
    ]


def test_messages_are_prose_and_data_of_tests_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = 'raise ValueError(f"{1} images a shard")\n'
    monkeypatch.chdir(tmp_path)
    for folder in ("tasks", "tests"):
        Path(folder).mkdir()
        Path(folder, "module.py").write_text(text)
    assert [words for _, words, _ in findings(prose(Path("tasks/module.py")))] == ["images a shard"]
    assert list(findings(prose(Path("tests/module.py")))) == []


def test_names_that_say_too_little_are_found(tmp_path: Path):
    module = tmp_path / "module.py"
    module.write_text(
        "def tell_growth(told, size):\n    beside = 1\n    lessons = 2\n    untold = tell_tale = size\n"
    )
    found = [name for _, name in sorted(names(module))]
    assert found == [
        "tell_growth",
        "told",
        "beside",
        "lessons",
        "tell_tale",
    ]
