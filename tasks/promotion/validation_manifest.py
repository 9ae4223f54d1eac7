"""The frozen validation manifest (`read_validation`): a CSV with the SHA-256 of every file.

The columns are `rainy`, `clean`, `rainy_sha256`, `clean_sha256`, `scene` and `set`. Paths are relative to the
manifest's folder. For a photograph of real rain, `clean` and `clean_sha256` are empty. Rows of one `scene` are not
independent and are drawn together; without that column each row is a scene. Rows of the set `validation` decide,
and without that column all rows do. Other sets, for example public test sets, are only reported, and must not
contain a deciding photograph in any form.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from infra.errors import ObjectNotFound
from infra.storage.location import Location, open_location
from models.images import RgbImage
from tasks.codec import ImageRejected, decode
from tasks.media.manifests import ManifestInvalid
from tasks.perceptual_hash import SeenPhotographs

COLUMNS = ("rainy", "clean", "rainy_sha256", "clean_sha256", "scene", "set")
VALIDATION = "validation"
"""Name of the deciding set."""
MAX_PIXELS = 50_000_000
_SET_NAME = re.compile(r"[\w-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ValidationRow:
    """Keys and SHA-256 of one rainy photograph and, if there is one, its clean version."""

    rainy: str
    clean: str
    rainy_sha256: str
    clean_sha256: str
    scene: str
    set: str = VALIDATION

    @property
    def decides(self) -> bool:
        """Whether promotion depends on the row."""
        return self.set == VALIDATION

    @property
    def is_pair(self) -> bool:
        """Whether there is a clean version."""
        return bool(self.clean)


@dataclass(frozen=True, slots=True)
class ValidationPhotograph:
    """A row with its pixels, (H, W, 3) uint8 each."""

    row: ValidationRow
    rainy: RgbImage
    clean: RgbImage | None


@dataclass(frozen=True, slots=True)
class ValidationManifest:
    """The photographs on which networks are compared, in the order of the file."""

    url: str
    digest: str
    rows: tuple[ValidationRow, ...]

    @property
    def pairs(self) -> int:
        """Number of rows that decide and have a clean version."""
        return sum(row.is_pair for row in self.rows if row.decides)

    @property
    def scenes(self) -> int:
        """Number of scenes of the pairs that decide."""
        return len({row.scene for row in self.rows if row.decides and row.is_pair})

    @property
    def real_scenes(self) -> int:
        """Number of scenes of the photographs of real rain that decide."""
        return len({row.scene for row in self.rows if row.decides and not row.is_pair})

    def has_real_rain(self, scenes: int) -> bool:
        """Return whether enough scenes of real rain decide for probes to be planted there."""
        return self.real_scenes >= scenes

    def photographs(self) -> Iterator[ValidationPhotograph]:
        """Yield the photographs one after the other.

        Raises
        ------
        ManifestInvalid
            If a file is missing, has changed, or is not a photograph, or if a deciding photograph is in another set
            too.
        """
        seen = {True: SeenPhotographs(), False: SeenPhotographs()}
        for photograph in self._read_all():
            if any(not row.decides for row in self.rows):
                self._refuse_shared(photograph, seen)
            yield photograph

    def _refuse_shared(self, photograph: ValidationPhotograph, seen: dict[bool, SeenPhotographs]) -> None:
        """Refuse a photograph that is both among the deciding and the only reported ones."""
        row = photograph.row
        for key, pixels in ((row.rainy, photograph.rainy), (row.clean, photograph.clean)):
            if pixels is None:
                continue
            other = seen[not row.decides].most_similar(pixels)
            if other is not None:
                raise ManifestInvalid(
                    f"{self.url}: {key} and {other} show the same, but one is of the set {VALIDATION} and one is"
                    " not: leave one of them out"
                )
            seen[row.decides].add(key, pixels)

    def _read_all(self) -> Iterator[ValidationPhotograph]:
        location = open_location(self.url.rpartition("/")[0])
        for row in self.rows:
            rainy = self._read(location, row.rainy, row.rainy_sha256)
            clean = self._read(location, row.clean, row.clean_sha256) if row.is_pair else None
            if clean is not None and clean.shape != rainy.shape:
                raise ManifestInvalid(
                    f"{self.url}: {row.rainy} is {rainy.shape[:2]} and {row.clean} {clean.shape[:2]}: not a pair"
                )
            yield ValidationPhotograph(row, rainy, clean)

    def _read(self, location: Location, key: str, digest: str) -> RgbImage:
        try:
            data = location.fetch(key)
            if sha256(data).hexdigest() != digest:
                raise ManifestInvalid(
                    f"{location.url}/{key} is not the file that {self.url} was written for (its SHA-256 differs):"
                    " restore it, or compare on another manifest (DERAIN_VALIDATION)"
                )
            return decode(data, MAX_PIXELS).rgb
        except ObjectNotFound as error:
            raise ManifestInvalid(f"{location.url}/{key}: named by {self.url}, but does not exist") from error
        except ImageRejected as error:
            raise ManifestInvalid(f"{location.url}/{key}: named by {self.url}: {error}") from error


def read_validation(url: str) -> ValidationManifest:
    """Read a manifest; its files are checked when photographs are read.

    Raises
    ------
    ManifestInvalid
        If the manifest is invalid; the message names the line.
    ObjectNotFound
        If the manifest does not exist.
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
    chosen = cells.get("set") or VALIDATION
    if not _SET_NAME.fullmatch(chosen):
        raise ManifestInvalid(
            f"{url}, line {number}: set {chosen!r}; a set is named by letters, digits, - and _"
        )
    return ValidationRow(rainy, clean, digests[0], digests[1], cells.get("scene") or rainy, chosen)


def _refuse_repeated(url: str, rows: tuple[ValidationRow, ...]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row.rainy in seen:
            raise ManifestInvalid(f"{url}: {row.rainy} is listed twice")
        seen.add(row.rainy)
