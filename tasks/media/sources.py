"""What a source is: a folder, a bucket prefix or a manifest; and which of its objects are to be derained."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from infra.errors import STORAGE_ERRORS, ItemRejected
from infra.records import ImageRef
from infra.settings import Settings
from infra.storage.listing import LeftOut, ListingRules
from infra.storage.location import Location, is_local, open_location
from tasks.codec.sniff import identify
from tasks.codec.suffixes import IMAGE_SUFFIXES, NO_SUFFIX, suffix_of
from tasks.media.leftovers import LEFTOVER, leftover_names
from tasks.media.manifests import is_manifest, manifest_base, read_manifest
from tasks.media.medium import is_array

logger = logging.getLogger(__name__)

EXCLUDED = "excluded"
NOT_INCLUDED = "not included"
NO_TEXT = "name that is no text"
SNIFFED_BYTES = 1024
"""Read of a local file without a suffix, to see whether it is an image."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was looked at: what its keys are relative to, and how to list it."""

    base: str
    """URL that keys are relative to. It stands in the identity of outputs, so that the same objects listed by
    two manifests, or by a manifest and by their folder, are the same work."""
    listed_by: Callable[[ListingRules], Iterator[ImageRef]]
    frames: bool = False
    """The source is a Zarr array, and what it lists are frames."""

    def refs(self, rules: ListingRules | None = None) -> Iterator[ImageRef]:
        """List the source as a stream, in an order that is the same each time.

        Parameters
        ----------
        rules : ListingRules, optional
            Which folders are not entered; by default all are.
        """
        return self.listed_by(rules or ListingRules())


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a listing are to be derained.

    Globs match the whole key and heed case. `*` and `?` cross folders, as in the tools of object stores:
    `*.jpg` takes `a/b.jpg` too. `**/` stands for any folders or none, and `a/` for everything below `a`.
    What NAS systems and desktops leave beside images is not taken (`tasks.media.leftovers`), unless a glob of
    `include` contains its name.
    """

    include: tuple[str, ...] = ()
    """Take keys that match one of these; with none, keys that end like an image (`IMAGE_SUFFIXES`)."""
    exclude: tuple[str, ...] = ()
    """Of these leave out what matches one of these."""
    limit: int | None = None
    """Take the first so many of the listing, so that running twice changes nothing."""

    def predicate(self) -> Callable[[str], bool]:
        """Compile the globs to a test of one key."""
        reason = self.reasons()
        return lambda key: reason(key) is None

    def reasons(self) -> Callable[[str], str | None]:
        """Compile the globs to a function of a key that returns why it is left out, or None."""
        included = _any_glob(self.include).fullmatch if self.include else _IMAGE_NAME.search
        excluded = _any_glob(self.exclude).fullmatch if self.exclude else _nothing

        def reason(key: str) -> str | None:
            if not _is_text(key):
                return NO_TEXT
            if self._is_leftover(key):
                return LEFTOVER
            if not included(key):
                return NOT_INCLUDED if self.include else suffix_of(key)
            return EXCLUDED if excluded(key) else None

        return reason

    def rules(self, left_out: LeftOut, barred: str | None = None) -> ListingRules:
        """Return what a listing need not enter: leftovers, and folders of which a glob excludes everything.

        Parameters
        ----------
        left_out : LeftOut
            Counts what the listing leaves out.
        barred : str or None
            URL of the destination, which no link in the source may lead to.
        """
        # A glob that ends with a star and matches a folder also matches whatever lies in it.
        whole = tuple(glob for glob in self.exclude if glob.endswith(("/", "*")))
        excluded = _any_glob(whole).fullmatch if whole else _nothing

        def closed(folder: str) -> str | None:
            if self._is_leftover(folder):
                return LEFTOVER
            return EXCLUDED if excluded(folder) else None

        return ListingRules(left_out, closed, barred if barred is not None and is_local(barred) else None)

    def select(
        self, listing: Iterable[ImageRef], left_out: LeftOut, base: str | None = None
    ) -> Iterator[ImageRef]:
        """Yield what is taken of a listing, and count the rest.

        Parameters
        ----------
        listing : Iterable[ImageRef]
            The objects of a source.
        left_out : LeftOut
            Counts what is not taken, by reason.
        base : str, optional
            URL that keys are relative to. In a folder, files without a suffix are taken if their content is that
            of an image; a bucket would have to be asked for each of them.
        """
        taken = self._matching(listing, left_out, base)
        if self.limit is None:
            yield from taken
            return
        yield from islice(taken, self.limit)
        left_out.stopped_at = self.limit

    def _matching(
        self, listing: Iterable[ImageRef], left_out: LeftOut, base: str | None
    ) -> Iterator[ImageRef]:
        reason_of = self.reasons()
        folder = open_location(base) if base is not None and is_local(base) else None
        for ref in listing:
            reason = reason_of(ref.key)
            if reason is None or (reason == NO_SUFFIX and folder is not None and _is_image(folder, ref)):
                yield ref
            else:
                left_out.leave_object(reason)

    def _is_leftover(self, key: str) -> bool:
        include = " ".join(self.include).lower()
        return any(name.lower() not in include for name in leftover_names(key))


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
        return Source(source, lambda rules: _list_frames(source), frames=True)
    if is_manifest(source):
        return Source(manifest_base(source), lambda rules: read_manifest(source))
    return Source(source, open_location(source).list)


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


def _is_image(folder: Location, ref: ImageRef) -> bool:
    """Tell by its first bytes whether a file is an image of a kind that can be read."""
    try:
        identify(folder.fetch_part(ref.key, 0, SNIFFED_BYTES))
    except (*STORAGE_ERRORS, ItemRejected):
        return False
    return True


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
