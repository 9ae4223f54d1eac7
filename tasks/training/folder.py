"""Folders of labelled data (`inspected`), read and hashed before a training uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from infra.settings import Settings, absolute_url
from models.rain.banks import TrainingData, load_training_data, photographs_of, require_training_files
from tasks.refusals import PreflightFailed


@dataclass(frozen=True, slots=True)
class TrainingFolder:
    """A training folder with its counts and digest at the time of inspection."""

    path: Path
    photographs: int
    held_out: int
    digest: str
    split_digest: str


def folder_named(settings: Settings, data: str, preset: str) -> Path:
    """Return the named folder, or else that of the settings.

    Raises
    ------
    PreflightFailed
        If none is named, or it is not a folder on this machine; the message names the preset.
    """
    place = data or settings.training
    if not place:
        raise PreflightFailed(
            f"no data for preset {preset}: give --data or set DERAIN_TRAINING to a folder with clean/"
            " and streaks/ or garg/"
        )
    folder = absolute_url(place)
    if "://" in folder:
        raise PreflightFailed(
            f"data {folder}: labelled data is read repeatedly: copy it to a folder on this machine"
        )
    return Path(folder)


def refuse_incomplete(folder: Path) -> None:
    """Refuse a folder without photographs or layers, without reading them.

    Raises
    ------
    PreflightFailed
        The message names the folder.
    """
    with _as_preflight_failed(folder):
        for held_out in (False, True):
            require_training_files(folder, held_out=held_out)


def read_folder(folder: Path) -> tuple[TrainingData, TrainingData]:
    """Read the training and validation splits as a training does.

    Raises
    ------
    PreflightFailed
        If a file cannot be read; the message names the folder or the file.
    """
    with _as_preflight_failed(folder):
        return load_training_data(folder, held_out=False), load_training_data(folder, held_out=True)


@contextmanager
def _as_preflight_failed(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, KeyError, ValueError) as error:
        named = str(error) if str(folder) in str(error) else f"{folder}: {error}"
        raise PreflightFailed(f"data {named}") from error


def inspected(folder: Path) -> TrainingFolder:
    """Read a training folder as a training does, and count and hash its contents.

    Raises
    ------
    PreflightFailed
        If it cannot be read; the message names the folder or the file.
    """
    train, held_out = read_folder(folder)
    names = photographs_of(folder, held_out=True)
    split = sha256("\n".join(names).encode()).hexdigest()
    return TrainingFolder(
        folder, len(train.photographs), len(held_out.photographs), _folder_digest(folder), split
    )


def _folder_digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of all files that a training reads."""
    digest = sha256()
    parts = [folder / name for name in ("clean", "garg", "streaks")]
    files = sorted(path for part in parts for path in part.glob("*.*"))
    for path in [*files, folder / "streaks.csv"]:
        if path.is_file():
            content = sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
