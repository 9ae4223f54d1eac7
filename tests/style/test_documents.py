"""Paths, modules, functions and messages that the documents name exist in the code."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = "flows|tasks|models|infra|tests|benchmarks|examples"
MADE_BY_READERS = {"models/networks/my_net.py", "tests/models/networks/test_my_net.py"}
"""Files that a how-to asks its reader to write."""


def documents() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_files_in_documents_exist() -> None:
    named = [
        (document.name, path)
        for document in documents()
        for path in re.findall(
            rf"(?<![\w/.-])((?:{FOLDERS})/[\w/.-]+\.(?:py|md|csv|html))", document.read_text()
        )
    ]
    assert len(named) > 50
    assert [each for each in named if each[1] not in MADE_BY_READERS and not (ROOT / each[1]).exists()] == []


def test_modules_in_documents_exist() -> None:
    named = [
        (document.name, name)
        for document in documents()
        for name in re.findall(rf"`(?:python -m )?((?:{FOLDERS})(?:\.\w+)+)[ `]", document.read_text())
    ]
    assert len(named) > 20
    assert [each for each in named if not _is_there(each[1])] == []


def test_the_tour_leads_through_functions_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    tour = text.partition("## Where to start reading")[2]
    stops = re.findall(r"^\d\. `([\w/]+\.py)`, `([\w.]+)`:", tour, re.MULTILINE)
    assert len(stops) == 6
    for path, function in stops:
        assert re.search(rf"\bdef {function.rpartition('.')[2]}\(", (ROOT / path).read_text()), (
            path,
            function,
        )


def test_quoted_messages_are_in_the_code() -> None:
    rows = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text().split("\n")
    messages = [row.split("|")[1] for row in rows if row.startswith("| ")]
    quoted = [words for message in messages for words in re.findall(r"`([^`]+)`", message)]
    assert len(quoted) > 20
    texts = [text for name in ("flows", "infra", "models", "tasks") for text in _texts(ROOT / name)]
    assert [words for words in quoted if not any(words in text for text in texts)] == []


def _texts(folder: Path) -> Iterator[str]:
    """Yield the strings of all modules in a folder; values in f-strings are replaced by a control character."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def _is_there(name: str) -> bool:
    """Return whether a dotted name is a module, a package, or something that one of them defines."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:count])
        module = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
        if module.is_file() or path.is_dir():
            rest = parts[count:]
            text = module.read_text() if module.is_file() else ""
            return not rest or re.search(rf"\b{rest[0]}\b", text) is not None
    return False
