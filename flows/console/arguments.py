"""Interpretation of the words after `derain`: `understand` returns the job, or refuses in the user's own words."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.errors import UserError, printable
from infra.settings import Settings, absolute_url
from infra.storage.location import refuse_scheme
from tasks.codec.exports import Kind
from tasks.codec.suffixes import IMAGE_SUFFIXES

PHOTOGRAPH_SUFFIXES = (*IMAGE_SUFFIXES, ".heic")
"""Suffixes that make the name of a file that does not exist yet count as that of a photograph."""
COMMAND_NAMES = ("status", "models", "report", "repair")
"""First words that name a command other than deraining."""
_MANIFEST_SUFFIXES = (".csv", ".parquet")
_EXPORT_OF: dict[str, Kind] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}


class ArgumentRefused(UserError):
    """The arguments cannot be used. The message quotes them as typed, and names the way out."""


class PlaceMissing(ArgumentRefused):
    """No place was given: wrong usage."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class OnePhotograph:
    """A file to derain into another file, without a workspace."""

    source: Path
    output: Path
    export: Kind


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder, bucket prefix, manifest or array, or some files of a folder, to derain into another place."""

    source: str
    destination: str
    include: tuple[str, ...] = ()


def understand(places: Sequence[str], export: Kind) -> OnePhotograph | Collection:
    """Determine what to derain and where the output goes.

    Parameters
    ----------
    places : sequence of str
        One source, or one or more sources followed by the destination.
    export : str
        `same`, `png` or `jpeg`; with `same`, the name of a single output decides.

    Raises
    ------
    ArgumentRefused, UrlRefused
        If the words cannot be used; the message quotes them.
    """
    for place in places:
        refuse_scheme(place)
    with paths_in_one_line(places[0]):
        return _understood(places, export)


@contextmanager
def paths_in_one_line(place: str) -> Iterator[None]:
    """Turn the error of a path that cannot be looked up into an `ArgumentRefused` that names it."""
    try:
        yield
    except OSError as error:
        named = printable(str(error.filename or place))
        raise ArgumentRefused(
            f"{named}: {error.strerror}; check the name, and the rights on the folders above it"
        ) from error


def _understood(places: Sequence[str], export: Kind) -> OnePhotograph | Collection:
    *sources, last = places
    if not sources:
        return _without_destination(last, export)
    if len(sources) > 1:
        return _several_files(sources, last)
    (source,) = sources
    if _is_remote(source):
        return _remote(source, last)
    path = _existing(source)
    if _holds_several(path):
        _refuse_file(last)
        _refuse_inside(source, last)
        return Collection(absolute_url(source), absolute_url(last))
    if _is_remote(last):
        _refuse_name(last)
        return Collection(str(path.parent), absolute_url(last), (glob.escape(path.name),))
    return _one_photograph(path, _output_of(path, last), export)


def refuse_half_set(settings: Settings, command: str) -> None:
    """Refuse a command without a place where the settings name a source, but no destination.

    Raises
    ------
    PlaceMissing
        If DERAIN_DESTINATION is missing.
    """
    if settings.source and not settings.destination:
        raise PlaceMissing(
            f"DERAIN_SOURCE is {printable(settings.source)}, but DERAIN_DESTINATION is not set: set it too, or name"
            f" both places, as in {command} SOURCE DEST"
        )


def globs(typed: list[str] | None) -> tuple[str, ...]:
    """Return globs that were given repeatedly or separated by commas."""
    return tuple(glob for part in typed or () for glob in part.split(",") if glob)


def _without_destination(source: str, export: Kind) -> OnePhotograph | Collection:
    """Choose an output next to the source: `photo-derained.jpg` or `rainy-derained/`."""
    path = None if _is_remote(source) else _existing(source)
    if path is not None and path.is_dir() and path.name and not _is_array(path):
        return Collection(str(path), str(path.with_name(path.name + "-derained")))
    if path is None or _holds_several(path):
        raise ArgumentRefused(f"{source}: say where the derained photographs go, as in derain {source} DEST")
    suffix = {"png": ".png", "jpeg": ".jpg", "same": path.suffix}[export]
    return _one_photograph(path, path.with_name(f"{path.stem}-derained{suffix}"), export)


def _several_files(sources: list[str], destination: str) -> Collection:
    """Accept several files of one folder, as a shell expands `*.jpg`."""
    paths = [_existing(source) for source in sources]
    folders = [source for source, path in zip(sources, paths, strict=True) if path.is_dir()]
    if folders:
        raise ArgumentRefused(f"{folders[0]}: a folder among several places; give one folder, or files only")
    _refuse_file(destination)
    parent = paths[0].parent
    for source, path in zip(sources, paths, strict=True):
        if path.parent != parent:
            raise ArgumentRefused(
                f"{source} is in another folder than {sources[0]}; derain one folder at a time"
            )
    _refuse_inside(str(parent), destination)
    return Collection(str(parent), absolute_url(destination), tuple(glob.escape(path.name) for path in paths))


def _remote(source: str, destination: str) -> Collection:
    folder, _, name = source.rstrip("/").rpartition("/")
    if name.lower().endswith(PHOTOGRAPH_SUFFIXES):
        _refuse_file(destination)
        _refuse_name(destination)
        return Collection(folder, absolute_url(destination), (glob.escape(name),))
    _refuse_inside(source, destination)
    return Collection(absolute_url(source), absolute_url(destination))


def _output_of(source: Path, typed: str) -> Path:
    """Return the output file of a photograph; in a folder, it has the name of the source."""
    path = Path(absolute_url(typed))
    return path / source.name if typed.endswith("/") or path.is_dir() else path


def _one_photograph(source: Path, output: Path, export: Kind) -> OnePhotograph:
    if source.resolve() == output:
        raise ArgumentRefused(
            f"{printable(str(output))} is the photograph itself; give the output another name"
        )
    suffix = output.suffix.lower()
    if suffix == source.suffix.lower() and export == "same":
        return OnePhotograph(source, output, "same")
    wanted = _EXPORT_OF.get(suffix)
    if wanted is None or export not in ("same", wanted):
        raise ArgumentRefused(
            f"{printable(output.name)}: an output is .png, .jpg, or named like its source"
            + (f"; --export {export} makes another" if wanted and export != "same" else "")
        )
    return OnePhotograph(source, output, wanted)


def _holds_several(path: Path) -> bool:
    """Return whether a path is a folder, an array or a manifest, rather than a photograph."""
    return path.is_dir() or path.resolve().suffix.lower() in _MANIFEST_SUFFIXES


def _is_array(folder: Path) -> bool:
    from tasks.media.medium import is_array  # takes a moment to import: only for folders

    return is_array(str(folder))


def _existing(typed: str) -> Path:
    """Return the path of a folder with links resolved, and that of a file under the name that was typed."""
    path = Path(absolute_url(typed))
    if path.is_dir():
        return path
    if path.exists():
        # Two links to one photograph have outputs of their own, next to the links.
        named = Path(typed.removeprefix("file://"))
        return Path(absolute_url(str(named.parent))) / named.name
    if glob.has_magic(path.name) and path.parent.is_dir():
        folder = printable(str(Path(typed).parent))
        raise ArgumentRefused(
            f"{printable(typed)}: no file matches; for a pattern in quotes, name the folder, {folder}, and"
            f" --include '{printable(path.name)}'"
        )
    raise ArgumentRefused(f"{printable(typed)}: no such file or folder{_suggestion(typed, path)}")


def _suggestion(typed: str, path: Path) -> str:
    """Suggest a similar name, either of a file in the same folder or of a command; empty if there is none."""
    names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    commands = {name: f"derain {name}" for name in COMMAND_NAMES}
    near = difflib.get_close_matches(path.name, [*names, *commands], n=1, cutoff=0.7)
    if not near or (near[0] in commands and near[0] not in names and typed != path.name):
        return ""
    meant = near[0] if near[0] in names else commands[near[0]]
    quotes = " (in quotes, because of the space)" if " " in near[0] else ""
    return f"; did you mean {printable(meant)}?{quotes}"


def _refuse_file(destination: str) -> None:
    if not _is_remote(destination) and Path(absolute_url(destination)).is_file():
        raise ArgumentRefused(
            f"{printable(destination)}: the last place is where derained photographs go, but it is a file; name a"
            " folder"
        )


def _refuse_name(destination: str) -> None:
    """Refuse a place that is named like a photograph where outputs keep the names of their sources."""
    is_folder = not _is_remote(destination) and Path(absolute_url(destination)).is_dir()
    if destination.lower().endswith(PHOTOGRAPH_SUFFIXES) and not is_folder:
        raise ArgumentRefused(
            f"{printable(destination)}: an output from or to a bucket keeps the name of its photograph; name the"
            " folder or prefix that it goes to"
        )


def _refuse_inside(source: str, destination: str) -> None:
    """Refuse a destination that is the source, lies inside it, or contains it."""
    target, origin = (re.split("/+", absolute_url(place)) for place in (destination, source))
    shorter = min(len(target), len(origin))
    if target[:shorter] != origin[:shorter]:
        return
    relation = (
        "is" if len(target) == len(origin) else "lies inside" if len(target) > len(origin) else "contains"
    )
    raise ArgumentRefused(
        f"{printable(destination)} {relation} {printable(source)}: derained photographs would be treated as rainy;"
        " choose another place"
    )


def _is_remote(place: str) -> bool:
    return "://" in place and not place.startswith("file://")
