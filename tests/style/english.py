"""Find wording that readers stumble over: `python -m tests.style.english [PATH ...]`; part of `make check`.

Looks at documents, and at docstrings, comments, names and, outside tests, strings of the code. Exits with 1 and one
line per finding.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

THINGS = (
    "crops?|images?|pixels?|rows?|steps?|process(?:es)?|shards?|files?|numbers?|workers?|devices?|slopes?"
)
WHOLES = "shard|crop|step|pixel|row|core|image|worker|machine|GPU|second|batch|set|channel|run|cell"
BANNED = {
    r"\btell(?:s|ing)? (?:of|whether|which|what|why|how|in)\b|\btells\b|\btold\b": "say, report, raise or log",
    r"\bbeside\b": "compared with, next to, or together with",
    r"\bso (?:many|much) (?!as\b|more\b|less\b|that\b|smaller\b|larger\b)": "this many, or name the number",
    r"\b(?:is|are|was|were) gone on\b|\bgo on with\b|\bgoes on\b(?! the\b)": "resume or continue",
    r"\b(?:is|are) through\b": "done",
    r"\bwhereto\b|\bthereof\b|\bto be had\b": "where, of it, available",
    r"(?<!there )\b(?:is|are|was|were) no (?!(?:longer|such|more|less|better|worse|other)\b|\w+ than\b)": "not a",
    r"\bany ?more\b(?! than)": "no longer",
    r"(?<!nothing )\b(?:is|are|was|were) to do\b": "pending",
    r'^\s*r?"""(?:Most|Least|Fewest) ': "Maximum or Minimum",
    r'^\s*r?"""What ': "a noun: what the thing is",
    rf"\b(?:{THINGS}) an? (?:{WHOLES})\b": "per",
    r'^\s*r?"""(?:Of|Who) ': "a noun or a verb first",
    r"\bno such one\b": "unknown",
    r"\blets? \w+ be \w+(?:ed|en)\b": "a verb in the active voice",
    r"\bas `[\w.]+` says\b": "see",
}
PATTERNS = [(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in BANNED.items()]
NAMES = re.compile(r"(?:^|_)(?:told|tells?|whereto|beside|go(?:es|ing|ne)_on|so_many|lessons)(?:_|$)")
"""Names that say too little, or what nobody else calls the thing."""
THIS_FILE = "tests/style/english.py"


def findings(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, words and what to write instead."""
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, instead in PATTERNS:
            for match in pattern.finditer(line):
                yield number, match[0], instead


def prose(path: Path) -> str:
    """Return a document, or the docstrings, comments and messages of a module; lines keep their numbers.

    Strings of tests are left out: they are data as often as messages.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    lines = text.split("\n")
    kept = [""] * len(lines)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.expr | ast.stmt) and (
            _is_docstring(node) or (path.parts[0] != "tests" and _is_message(node))
        ):
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                kept[number] = lines[number]
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            kept[token.start[0] - 1] = token.string
    return "\n".join(kept)


def _is_docstring(node: ast.AST) -> TypeGuard[ast.Expr]:
    return isinstance(node, ast.Expr) and _is_message(node.value)


def _is_message(node: ast.AST) -> TypeGuard[ast.Constant]:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip()


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and name of what a module defines under one of `NAMES`."""
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = None
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        if name is not None and NAMES.search(name):
            yield node.lineno, name


def tracked(paths: Sequence[str]) -> list[Path]:
    """List the documents and modules that git tracks."""
    listed = subprocess.run(["git", "ls-files", *paths], capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.splitlines() if name.endswith((".py", ".md")) and name != THIS_FILE]


def main() -> None:
    """Print each finding; exit with 1 if there is one."""
    count = 0
    for path in tracked(sys.argv[1:]):
        for number, words, instead in findings(prose(path)):
            sys.stdout.write(f"{path}:{number}: {words.strip()!r}: write {instead}\n")
            count += 1
        for number, name in names(path):
            sys.stdout.write(f"{path}:{number}: {name!r}: name it after what it is or does\n")
            count += 1
    sys.exit(f"{count} findings" if count else 0)


if __name__ == "__main__":
    main()
