"""The card of a registered version in MLflow (`VersionCard`): its description, tags, figures and picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

CARD_FILE = "README.md"
PICTURE_FILE = "before_after.jpg"
LONGEST_DESCRIPTION = 5000
"""Maximum number of characters that MLflow keeps of a description; the whole card is a file of the version."""


@dataclass(frozen=True, slots=True)
class VersionCard:
    """Description, tags, figures and picture of a version."""

    text: str = ""
    """Markdown."""
    tags: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    """Metrics of the run that the version belongs to."""
    picture: bytes | None = None
    """JPEG of photographs before and after."""

    def tagged(self, tags: Mapping[str, str]) -> VersionCard:
        """Return the card with further tags."""
        return replace(self, tags={**self.tags, **tags})

    @property
    def description(self) -> str:
        """The part of the text that MLflow keeps."""
        return self.text[:LONGEST_DESCRIPTION]

    def write(self, folder: Path) -> None:
        """Write card and picture next to the files of a version."""
        if self.text:
            (folder / CARD_FILE).write_text(self.text, encoding="utf-8")
        if self.picture is not None:
            (folder / PICTURE_FILE).write_bytes(self.picture)


NO_CARD = VersionCard()
