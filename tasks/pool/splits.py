"""Training and validation: a source group, all images of one camera and day, goes to one of them as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import get_args

from infra.catalog.pool import Split

TRAIN, VALIDATION = get_args(Split)


def source_group(pattern: str, source: str, key: str) -> str:
    """Name the group of an image: the source's URL and what the pattern's groups find in the key.

    The same object has the same group whether it was listed by its folder or from further up, as long as the
    pattern keeps what the key begins with, as the default one does.

    Parameters
    ----------
    pattern : str
        A regular expression; without groups its whole match counts. Keys that it does not match are one group.
    source : str
        URL that the key is relative to.
    key : str
        The image.
    """
    match = re.search(pattern, key)
    if match is None:
        return f"{source.rstrip('/')}/"
    found = "/".join(group or "" for group in match.groups()) if match.groups() else match[0]
    return f"{source.rstrip('/')}/{found}"


def assign_splits(images: Mapping[str, int], settled: Mapping[str, Split], share: float) -> dict[str, Split]:
    """Give every group its split, the same one however often and in how many runs it is asked.

    Groups are drawn in the order of their hashes; one goes to validation as long as that does not get more than
    its share of all images. Where all are larger than that, the smallest of at least two does.

    Parameters
    ----------
    images : Mapping[str, int]
        How many images each group has, in the pool and in what was listed.
    settled : Mapping[str, Split]
        Groups that have crops in the pool: they stay where they are.
    share : float
        Of the images, for validation.
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
