"""The frozen manifest that networks are compared on: a CSV with the SHA-256 of every file.

Columns: `rainy`, `clean`, `rainy_sha256`, `clean_sha256`, `scene`. Paths are relative to the manifest's folder.
A photograph of real rain has no clean version: `clean` and `clean_sha256` stay empty. Rows of one `scene` are no
independent evidence and are drawn together; without that column each row is a scene.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from infra.storage import Location, Missing, open_location
from models.metrics import Image
from tasks.images import ImageRejected, decode
from tasks.manifests import ManifestInvalid

COLUMNS = ("rainy", "clean", "rainy_sha256", "clean_sha256", "scene")
MAX_PIXELS = 50_000_000


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """One rainy photograph, and its clean version where there is one: keys and SHA-256."""

    rainy: str
    clean: str
    rainy_sha256: str
    clean_sha256: str
    scene: str

    @property
    def is_pair(self) -> bool:
        """Tell whether there is a clean version."""
        return bool(self.clean)


@dataclass(frozen=True, slots=True)
class ValidationPhotograph:
    """A row with its pixels, (H, W, 3) uint8 each."""

    row: ValidationRow
    rainy: Image
    clean: Image | None


@dataclass(frozen=True, slots=True)
class ValidationManifest:
    """What networks are compared on, in the order of the file."""

    url: str
    digest: str
    rows: tuple[ValidationRow, ...]

    @property
    def pairs(self) -> int:
        """Number of rows with a clean version."""
        return sum(row.is_pair for row in self.rows)

    def photographs(self) -> Iterator[ValidationPhotograph]:
        """Read one photograph after the other.

        Raises
        ------
        ManifestInvalid
            If a file is gone, is not the one that the manifest was written for, or is no photograph.
        """
        location = open_location(self.url.rpartition("/")[0])
        for row in self.rows:
            rainy = self._read(location, row.rainy, row.rainy_sha256)
            clean = self._read(location, row.clean, row.clean_sha256) if row.is_pair else None
            if clean is not None and clean.shape != rainy.shape:
                raise ManifestInvalid(
                    f"{self.url}: {row.rainy} is {rainy.shape[:2]} and {row.clean} {clean.shape[:2]}: not a pair"
                )
            yield ValidationPhotograph(row, rainy, clean)

    def _read(self, location: Location, key: str, digest: str) -> Image:
        try:
            data = location.fetch(key)
            if sha256(data).hexdigest() != digest:
                raise ManifestInvalid(
                    f"{location.url}/{key} is not the file that {self.url} was written for (its SHA-256 is"
                    " another): bring it back, or compare on another manifest (DERAIN_VALIDATION)"
                )
            return decode(data, MAX_PIXELS).rgb
        except Missing as error:
            raise ManifestInvalid(f"{location.url}/{key}: named by {self.url}, but not there") from error
        except ImageRejected as error:
            raise ManifestInvalid(f"{location.url}/{key}: named by {self.url}: {error}") from error


def read_validation(url: str) -> ValidationManifest:
    """Read a manifest; its files are looked at when photographs are read.

    Raises
    ------
    ManifestInvalid
        If it is no such manifest; names the line.
    Missing
        If it is not there.
    """
    folder, _, name = url.rpartition("/")
    data = open_location(folder).fetch(name)
    try:
        reader = csv.DictReader(io.StringIO(data.decode()))
        absent = set(COLUMNS[:4]) - set(reader.fieldnames or ())
        if absent:
            raise ManifestInvalid(
                f"{url}: no column {', '.join(sorted(absent))}; columns are {', '.join(COLUMNS)}"
            )
        rows = tuple(_row(url, number, cells) for number, cells in enumerate(reader, 2))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(f"{url}: not a CSV file ({error})") from error
    _refuse_repeated(url, rows)
    return ValidationManifest(url, sha256(data).hexdigest(), rows)


def _row(url: str, number: int, cells: dict[str, str | None]) -> ValidationRow:
    rainy, clean, *digests = ((cells.get(name) or "").strip() for name in COLUMNS[:4])
    wanted = 2 if clean else 1
    if not rainy or any(len(digest) != 64 for digest in digests[:wanted]):
        raise ManifestInvalid(
            f"{url}, line {number}: a row is a rainy photograph and the SHA-256 of each file"
        )
    return ValidationRow(rainy, clean, digests[0], digests[1], cells.get("scene") or rainy)


def _refuse_repeated(url: str, rows: tuple[ValidationRow, ...]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.rainy in seen:
            raise ManifestInvalid(f"{url}: {row.rainy} is there twice")
        seen.add(row.rainy)
