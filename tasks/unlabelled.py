"""Unlabelled rainy photographs for a training, as arrays: from a folder or a bucket prefix."""

from __future__ import annotations

from infra.storage import open_location
from models.lessons import MOST_PHOTOGRAPHS, Photograph, evenly, trimmed
from tasks.images import ImageRejected, decode
from tasks.progress import run_log
from tasks.sources import Selection


def unlabelled_photographs(url: str, max_pixels: int) -> list[Photograph]:
    """Fetch photographs, at most `MOST_PHOTOGRAPHS` of them, each cut to what is held in memory.

    Parameters
    ----------
    url : str
        Folder or bucket prefix; what is no image by its name is left alone, what cannot be decoded is left out.
    max_pixels : int
        Larger ones are left out undecoded.

    Raises
    ------
    FileNotFoundError
        If there is none; names the place.
    Missing, AccessDenied, StorageFault
        If the place cannot be read.
    """
    location = open_location(url)
    is_image = Selection().predicate()
    keys = sorted(ref.key for ref in location.list() if is_image(ref.key))
    photographs, rejected = [], []
    for key in evenly(keys, MOST_PHOTOGRAPHS):
        try:
            photographs.append(trimmed(decode(location.fetch(key), max_pixels).rgb))
        except ImageRejected as error:
            rejected.append(f"{key}: {error}")
    if not photographs:
        raise FileNotFoundError(
            f"{url}: no photographs there" + "".join(f"; {each}" for each in rejected[:1])
        )
    if rejected:
        run_log().warning("%s: %d photographs left out; %s", url, len(rejected), rejected[0])
    return photographs
