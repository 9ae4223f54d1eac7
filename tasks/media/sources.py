"""Sources (`open_source`): a folder, bucket prefix, array or manifest, and the `Selection` of its objects."""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from glob import escape
from itertools import islice

from infra.errors import STORAGE_ERRORS, ItemRejected, KeyRefused
from infra.records import ImageRef
from infra.settings import Settings
from infra.shown import is_text
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
NO_TEXT = "name that is not text"
SNIFFED_BYTES = 1024
"""Number of bytes read of a local file without a suffix, to detect whether it is an image."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source that has been opened: the base URL of its keys, and how to list it."""

    base: str
    """URL that keys are relative to. It is part of an output's identity, so objects listed by two manifests, or by
    a manifest and by their folder, are recognised as the same work."""
    listed_by: Callable[[ListingRules], Iterator[ImageRef]]
    frames: bool = False
    """Whether the source is a Zarr array, whose frames are listed."""

    def refs(self, rules: ListingRules | None = None) -> Iterator[ImageRef]:
        """Yield the objects of the source in a reproducible order.

        Parameters
        ----------
        rules : ListingRules, optional
            Folders that are not entered; by default all are entered.
        """
        return self.listed_by(rules or ListingRules())


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the objects of a listing that are to be derained.

    Globs match the whole key and are case-sensitive. `*` and `?` also match slashes, as in the tools of object
    stores: `*.jpg` matches `a/b.jpg`. `**/` matches any folders or none, and `a/` everything below `a`.
    Leftovers of NAS systems and desktops (`tasks.media.leftovers`) are excluded unless a glob of `include` contains
    their name.
    """

    include: tuple[str, ...] = ()
    """Include keys that match one of these; if empty, keys with an image suffix (`IMAGE_SUFFIXES`)."""
    exclude: tuple[str, ...] = ()
    """Exclude included keys that match one of these."""
    limit: int | None = None
    """Take only this many objects from the start of the listing, so that a second run changes nothing."""

    def apart_from(self, workspace: str, base: str) -> Selection:
        """Return a selection without a workspace below the source, whose photographs are samples and test images.

        Parameters
        ----------
        workspace : str
            URL of the workspace.
        base : str
            URL that keys are relative to.
        """
        inside = workspace.removeprefix(f"{base.rstrip('/')}/")
        return self if inside == workspace else replace(self, exclude=(*self.exclude, f"{escape(inside)}/"))

    def predicate(self) -> Callable[[str], bool]:
        """Compile the globs to a predicate on keys."""
        reason = self.reasons()
        return lambda key: reason(key) is None

    def reasons(self) -> Callable[[str], str | None]:
        """Compile the globs to a function that returns why a key is left out, or None."""
        included = _any_glob(self.include).fullmatch if self.include else _IMAGE_NAME.search
        excluded = _any_glob(self.exclude).fullmatch if self.exclude else _nothing

        def reason(key: str) -> str | None:
            if not is_text(key):
                logger.warning("skipped, its name is not text: %r", key)
                return NO_TEXT
            if self._is_leftover(key):
                return LEFTOVER
            if not included(key):
                return NOT_INCLUDED if self.include else suffix_of(key)
            return EXCLUDED if excluded(key) else None

        return reason

    def rules(self, left_out: LeftOut, barred: str | None = None) -> ListingRules:
        """Return rules that keep a listing out of leftovers and of folders that a glob excludes entirely.

        Parameters
        ----------
        left_out : LeftOut
            Counts the objects that the listing leaves out.
        barred : str or None
            URL of the destination; links in the source must not lead to it.
        """
        # A glob that ends with a star and matches a folder also matches everything in it.
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
        """Yield the selected objects of a listing, and count the others.

        Parameters
        ----------
        listing : Iterable[ImageRef]
            The objects of a source.
        left_out : LeftOut
            Counts unselected objects by reason.
        base : str, optional
            URL that keys are relative to. In a folder, files without a suffix are selected if their content is an
            image; in a bucket, this check would take a request per object.
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
        return any(
            name.lower() not in include and escape(name).lower() not in include
            for name in leftover_names(key)
        )


def open_source(source: str) -> Source:
    """Open a source of any kind.

    Parameters
    ----------
    source : str
        Absolute local path or URL of a folder, bucket prefix, Zarr array or manifest (`.csv`, `.parquet`).

    Raises
    ------
    ManifestInvalid
        If the source is a manifest that cannot be used.
    """
    if is_array(source):
        return Source(source, lambda rules: _list_frames(source), frames=True)
    if is_manifest(source):
        return Source(manifest_base(source), lambda rules: read_manifest(source))
    return Source(source, open_location(source).list)


def readable_source(source: str) -> Source:
    """Open a source; raise an error that names it if it cannot be read."""
    if not is_manifest(source):
        open_location(source).check(writable=False)
    found = open_source(source)
    if found.base != source:
        open_location(found.base).check(writable=False)
    return found


def refuse_oversized(source: Source, settings: Settings) -> None:
    """Refuse an array with larger or more frames than the settings allow; see `tasks.media.frames`."""
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
    """Return whether a file is an image of a supported format, judging by its first bytes.

    A key that cannot be a file, which only a manifest can list, is selected too: its row gives the reason.
    """
    try:
        identify(folder.fetch_part(ref.key, 0, SNIFFED_BYTES))
    except KeyRefused:
        return True
    except (*STORAGE_ERRORS, ItemRejected):
        return False
    return True


_ANY_FOLDERS = re.compile(r"(?:^|(?<=/))\*\*/")
_IMAGE_NAME = re.compile("(?:" + "|".join(map(re.escape, IMAGE_SUFFIXES)) + r")\Z", re.IGNORECASE)
