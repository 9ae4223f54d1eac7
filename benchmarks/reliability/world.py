"""A small bucket or folder of rainy photographs (`World`), and a check of its outputs and rows (`check`)."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from infra.catalog.derained import Catalog
from infra.errors import ObjectNotFound
from infra.storage.location import Location, open_location
from models.modelfile import pack, write_model_file
from models.networks.student import PRESETS, Student

IMAGES = 24
VERSIONS = 4
"""Number of contents that each photograph may have."""
IDENTITY = ("source", "key", "etag", "destination", "export")


@dataclass(frozen=True, slots=True)
class Faults:
    """Result of a check; all numbers must be 0."""

    gaps: int = 0
    """Images without a row or without an output."""
    doubles: int = 0
    """Rows beyond the first one of each identity."""
    byte_differences: int = 0
    """Outputs that an undisturbed run would not have written, or whose row has another digest."""
    leftovers: int = 0
    """Half-written files of killed runs."""

    def __add__(self, other: Faults) -> Faults:
        return Faults(
            self.gaps + other.gaps,
            self.doubles + other.doubles,
            self.byte_differences + other.byte_differences,
            self.leftovers + other.leftovers,
        )


@dataclass(slots=True)
class World:
    """Source, destination and workspace below one URL, and the current content of each photograph."""

    url: str
    model: Path
    versions: dict[str, int]

    @property
    def source(self) -> str:
        """URL of the photographs."""
        return f"{self.url}/rainy"

    @property
    def destination(self) -> str:
        """URL of the outputs."""
        return f"{self.url}/derained"

    @property
    def workspace(self) -> str:
        """URL of the catalog."""
        return f"{self.url}/work"

    def write(self, key: str, version: int) -> None:
        """Write a content of a photograph."""
        self.versions[key] = version
        open_location(self.source).put(key, content(key, version))


def new_world(url: str, model: Path) -> World:
    """Create a world whose photographs have their first content."""
    world = World(url, model, {})
    for key in keys():
        world.write(key, 0)
    return world


def keys() -> list[str]:
    """Return the keys of the photographs, which are of two cameras and two formats."""
    return [f"cam{index % 2}/{index:03d}.{'png' if index % 3 else 'jpg'}" for index in range(IMAGES)]


def content(key: str, version: int) -> bytes:
    """Draw a photograph of a few hundred pixels; versions differ in size or in bytes."""
    seed = int.from_bytes(hashlib.sha256(f"{key} {version}".encode()).digest()[:4])
    random = np.random.default_rng(seed)
    height, width = (int(side) for side in random.integers(16, 33, 2))
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG" if key.endswith("png") else "JPEG")
    return packed.getvalue()


def write_model(path: Path) -> Path:
    """Write a tiny student that alters photographs visibly."""
    torch.manual_seed(0)
    student = Student(PRESETS["tiny"])
    torch.nn.init.normal_(student.head.weight, std=0.05)
    write_model_file(pack(student.eval().requires_grad_(False), {}), path)
    return path


def check(world: World, expected: Mapping[tuple[str, int], bytes]) -> Faults:
    """Compare outputs and rows with those of an undisturbed run.

    Parameters
    ----------
    world : World
        World without a run in progress.
    expected : mapping
        Outputs of an undisturbed run by key and version of the photograph.
    """
    rows = Catalog(world.workspace).frame().to_dicts()
    counted = Counter(tuple(row[name] for name in IDENTITY) for row in rows)
    digests = {(row["key"], row["etag"]): row["output_sha256"] for row in rows if row["status"] == "derained"}
    gaps = differences = 0
    for ref in open_location(world.source).list():
        output = _output(world, ref.key)
        if output is None or (ref.key, ref.etag) not in digests:
            gaps += 1
            continue
        is_right = output == expected[ref.key, world.versions[ref.key]]
        is_recorded = hashlib.sha256(output).hexdigest() == digests[ref.key, ref.etag]
        differences += not (is_right and is_recorded)
    foreign = {ref.key for ref in open_location(world.destination).list()} - world.versions.keys()
    return Faults(
        gaps, sum(counted.values()) - len(counted), differences + len(foreign), _leftovers(world.url)
    )


def _output(world: World, key: str) -> bytes | None:
    destination: Location = open_location(world.destination)
    try:
        return destination.fetch(key)
    except ObjectNotFound:
        return None


def _leftovers(url: str) -> int:
    return sum(1 for path in Path(url).rglob(".derain-*.tmp") if path.is_file()) if url.startswith("/") else 0
