"""What a source is: a folder, a bucket prefix or a manifest; and which of its objects are to be derained."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from infra.records import ImageRef
from infra.settings import Settings
from infra.storage.location import open_location
from tasks.media.manifests import is_manifest, manifest_base, read_manifest
from tasks.media.medium import is_array

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
"""What is taken for an image where no `include` says otherwise, in any case."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was looked at: what its keys are relative to, and how to list it."""

    base: str
    """URL that keys are relative to. It stands in the identity of outputs, so that the same objects listed by
    two manifests, or by a manifest and by their folder, are the same work."""
    refs: Callable[[], Iterator[ImageRef]]
    """Lists the source as a stream, all objects of it, in an order that is the same each time."""
    frames: bool = False
    """The source is a Zarr array, and what it lists are frames."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a listing are to be derained.

    Globs match the whole key and heed case. `*` and `?` cross folders, as in the tools of object stores:
    `*.jpg` takes `a/b.jpg` too. `**/` stands for any folders or none, and `a/` for everything below `a`.
    What systems leave beside images (`Thumbs.db`, `.DS_Store`, a Mac's `._IMG.jpg`) is never taken.
    """

    include: tuple[str, ...] = ()
    """Take keys that match one of these; with none, keys that end like an image (`IMAGE_SUFFIXES`)."""
    exclude: tuple[str, ...] = ()
    """Of these leave out what matches one of these."""
    limit: int | None = None
    """Take the first so many of the listing, so that running twice changes nothing."""

    def predicate(self) -> Callable[[str], bool]:
        """Compile the globs to a test of one key."""
        included = _any_glob(self.include).fullmatch if self.include else _IMAGE_NAME.search
        excluded = _any_glob(self.exclude).fullmatch if self.exclude else _nothing

        def is_selected(key: str) -> bool:
            return bool(included(key)) and not excluded(key) and not _JUNK_NAME.search(key) and _is_text(key)

        return is_selected

    def select(self, listing: Iterable[ImageRef], counts: Counter[str]) -> Iterator[ImageRef]:
        """Yield what is taken of a listing; what the globs leave out is counted as `skipped`."""
        return islice(self._matching(listing, counts), self.limit)

    def _matching(self, listing: Iterable[ImageRef], counts: Counter[str]) -> Iterator[ImageRef]:
        is_selected = self.predicate()
        for ref in listing:
            if is_selected(ref.key):
                yield ref
            else:
                counts["skipped"] += 1


def open_source(source: str) -> Source:
    """Find out what a source is.

    Parameters
    ----------
    source : str
        Absolute local path or URL of a folder, bucket prefix, Zarr array or manifest (`.csv`, `.parquet`).

    Raises
    ------
    ManifestInvalid
        The source is a manifest that cannot be used.
    """
    if is_array(source):
        return Source(source, lambda: _list_frames(source), frames=True)
    if is_manifest(source):
        return Source(manifest_base(source), lambda: read_manifest(source))
    return Source(source, lambda: open_location(source).list())


def readable_source(source: str) -> Source:
    """Find out what a source is; where it cannot be read, say so soon and in its own name."""
    if not is_manifest(source):
        open_location(source).check(writable=False)
    found = open_source(source)
    if found.base != source:
        open_location(found.base).check(writable=False)
    return found


def refuse_oversized(source: Source, settings: Settings) -> None:
    """Refuse an array whose frames are larger, or more, than the settings allow; see `tasks.media.frames`."""
    if source.frames:
        from tasks.media import frames  # Zarr only where it is used

        frames.refuse_oversized(source.base, settings)


def _list_frames(source: str) -> Iterator[ImageRef]:
    from tasks.media.frames import list_frames  # Zarr only where it is used

    return list_frames(source)


def _any_glob(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_glob_pattern(glob) for glob in globs))


def _glob_pattern(glob: str) -> str:
    whole = glob + "**" if glob.endswith("/") else glob
    pieces = _ANY_FOLDERS.split(whole)
    return "(?s:.*/)?".join(fnmatch.translate(piece).removesuffix(r"\Z") for piece in pieces)


def _nothing(key: str) -> None:
    return None


def _is_text(key: str) -> bool:
    """Tell whether a key can be written down; a local file name may be any bytes."""
    if key.isascii():
        return True
    try:
        key.encode()
    except UnicodeEncodeError:
        logger.warning("skipped, its name is no text: %r", key)
        return False
    return True


_ANY_FOLDERS = re.compile(r"(?:^|(?<=/))\*\*/")
_IMAGE_NAME = re.compile("(?:" + "|".join(map(re.escape, IMAGE_SUFFIXES)) + r")\Z", re.IGNORECASE)
_JUNK_NAME = re.compile(r"(?:^|/)(?:Thumbs\.db|desktop\.ini|\.DS_Store|\._[^/]*)\Z")
