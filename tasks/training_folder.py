"""A folder of labelled data, looked at before anything trains on it."""

from __future__ import annotations

from pathlib import Path

from infra.settings import Settings, absolute_url
from models.banks import TrainingData, load_training_data
from tasks.preflight import PreflightFailed


def folder_named(settings: Settings, data: str, preset: str) -> Path:
    """Return the folder that is named, or else that of the settings.

    Raises
    ------
    PreflightFailed
        If neither is; tells for which preset.
    """
    place = data or settings.training
    if not place:
        raise PreflightFailed(
            f"no data for preset {preset}: give --data or set DERAIN_TRAINING; it is a folder with clean/"
            " and streaks/ or garg/"
        )
    return Path(absolute_url(place))


def read_folder(folder: Path) -> tuple[TrainingData, TrainingData]:
    """Read training and validation split as a training will.

    Raises
    ------
    PreflightFailed
        If it cannot; names the folder or the file.
    """
    try:
        return load_training_data(folder, held_out=False), load_training_data(folder, held_out=True)
    except (OSError, KeyError, ValueError) as error:
        named = str(error) if str(folder) in str(error) else f"{folder}: {error}"
        raise PreflightFailed(f"data {named}") from error
