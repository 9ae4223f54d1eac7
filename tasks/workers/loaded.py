"""Models on workers: `stage_model` writes one to the workspace, `loaded_engine` loads it once per process."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch

from infra.storage.location import open_location
from models.engine import Engine, choose_device
from models.modelfile import ModelFile, ModelFileInvalid
from models.opening import open_engine


@dataclass(frozen=True, slots=True)
class StagedModel:
    """A model fixed for a whole run: its version and the location of its files."""

    name: str
    version: str
    digest: str
    folder: str
    """URL of the folder with `<digest>.safetensors` and `<digest>.json`."""


def stage_model(model_file: ModelFile, name: str, version: str, workspace: str) -> StagedModel:
    """Write a model to the workspace for workers; every run writes it again, which repairs damaged files."""
    staged = StagedModel(name, version, model_file.digest, f"{workspace}/models")
    location = open_location(staged.folder)
    location.put(f"{staged.digest}.safetensors", model_file.weights)
    location.put(f"{staged.digest}.json", model_file.config)
    return staged


@functools.lru_cache(maxsize=4)  # curation runs several networks per crop
def loaded_engine(model: StagedModel, device: str, tile_pixels: int) -> Engine:
    """Return the engine of a staged model on this process's device; engines are cached.

    Raises
    ------
    ModelFileInvalid
        If the files in the workspace differ from what was staged.
    """
    location = open_location(model.folder)
    model_file = ModelFile(
        location.fetch(f"{model.digest}.safetensors"), location.fetch(f"{model.digest}.json")
    )
    if model_file.digest != model.digest:
        raise ModelFileInvalid(f"{model.folder}/{model.digest}.safetensors: its content has another digest")
    if choose_device(device).type == "cpu":
        torch.set_num_threads(1)
    return open_engine(model_file, device, model.name, tile_pixels)
