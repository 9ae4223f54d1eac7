"""Training and validation splits: a source group (all images of one camera and day) belongs to one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import get_args

from infra.catalog.pool import Split

TRAIN, VALIDATION = get_args(Split)


def source_group(pattern: str, source: str, key: str) -> str:
    """Return the group of an image: the source's URL and what the pattern's groups match in the key.

    An object has the same group whether its folder or a parent folder was listed, as long as the pattern keeps
    the beginning of the key, as the default pattern does.

    Parameters
    ----------
    pattern : str
        A regular expression; without groups, its whole match is used. All keys without a match are one group.
    source : str
        URL that the key is relative to.
    key : str
        Key of the image.
    """
    match = re.search(pattern, key)
    if match is None:
        return f"{source.rstrip('/')}/"
    found = "/".join(group or "" for group in match.groups()) if match.groups() else match[0]
    return f"{source.rstrip('/')}/{found}"


def assign_splits(images: Mapping[str, int], settled: Mapping[str, Split], share: float) -> dict[str, Split]:
    """Assign a split to every group, reproducibly across calls and runs.

    Groups are taken in the order of their hashes; a group goes to validation if validation then holds at most its
    share of all images. If every group is larger than that, the smallest one does, given at least two groups.

    Parameters
    ----------
    images : Mapping[str, int]
        Number of images per group, in the pool and in the listing.
    settled : Mapping[str, Split]
        Groups that have crops in the pool; they keep their split.
    share : float
        Fraction of the images that is meant for validation.
    """
    room = share * sum(images.values())
    splits: dict[str, Split] = {}
    for group in sorted(images, key=_draw):
        split = settled.get(group) or (VALIDATION if images[group] <= room else TRAIN)
        room -= images[group] * (split == VALIDATION)
        splits[group] = split
    open_groups = [group for group in splits if group not in settled]
    if share > 0 and len(splits) > 1 and VALIDATION not in splits.values() and open_groups:
        splits[min(open_groups, key=lambda group: (images[group], _draw(group)))] = VALIDATION
    return splits


def _draw(group: str) -> bytes:
    return blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8).digest()
