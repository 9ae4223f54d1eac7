"""Check for validation photographs that were used in training (`refuse_training`)."""

from __future__ import annotations

from hashlib import sha256

from infra.settings import absolute_url
from infra.storage.location import Location, open_location
from models.images import RgbImage
from tasks.codec import ImageRejected, decode
from tasks.counted import counted
from tasks.media.manifests import ManifestInvalid
from tasks.media.sources import Selection, open_source
from tasks.perceptual_hash import SeenPhotographs
from tasks.promotion.validation_manifest import MAX_PIXELS, ValidationManifest


def refuse_training(manifest: ValidationManifest, training: str) -> None:
    """Refuse a manifest if one of its photographs was used in a training.

    Photographs are recognised by the SHA-256 of their files, or by perceptual hash, whose limits
    `tasks.perceptual_hash.NEAR` describes.

    Parameters
    ----------
    manifest : ValidationManifest
        The manifest; all of its sets are checked, both rainy and clean photographs.
    training : str
        Folder, bucket prefix, or manifest (CSV or Parquet with `key`, `etag`, `size`) of the training photographs.

    Raises
    ------
    ManifestInvalid
        If they overlap (the message names both photographs), or if `training` has no photograph.
    """
    source = open_source(absolute_url(training))
    if source.frames:
        raise ManifestInvalid(f"{training}: a Zarr array; training photographs are files in a folder")
    seen, digests = _photographs_of(manifest)
    location, is_image = open_location(source.base), Selection().predicate()
    keys = [ref.key for ref in source.refs() if is_image(ref.key)]
    readable = 0
    for key in counted(keys, "comparing training", "photograph", len(keys)):
        data = location.fetch(key)
        pixels = _decoded(data)
        found = digests.get(sha256(data).hexdigest()) or (
            None if pixels is None else seen.most_similar(pixels)
        )
        if found is not None:
            raise ManifestInvalid(_shared(manifest, found, location, key))
        readable += pixels is not None
    if readable == 0:
        raise ManifestInvalid(f"{training}: no photograph there that a training could have used")


def _photographs_of(manifest: ValidationManifest) -> tuple[SeenPhotographs, dict[str, str]]:
    """Return an index of a manifest's photographs, and their keys by SHA-256."""
    seen, digests = SeenPhotographs(), {}
    for photograph in manifest.photographs():
        row = photograph.row
        seen.add(row.rainy, photograph.rainy)
        digests[row.rainy_sha256] = row.rainy
        if photograph.clean is not None:
            seen.add(row.clean, photograph.clean)
            digests[row.clean_sha256] = row.clean
    return seen, digests


def _decoded(data: bytes) -> RgbImage | None:
    try:
        return decode(data, MAX_PIXELS).rgb
    except ImageRejected:
        return None


def _shared(manifest: ValidationManifest, key: str, location: Location, training_key: str) -> str:
    return (
        f"{manifest.url}: {key} shows the same as {location.url}/{training_key}, which was used in training:"
        " leave it out of the manifest, or compare on another one (DERAIN_VALIDATION)"
    )
