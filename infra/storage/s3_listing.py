"""Entries of a bucket listing (`entries`), page by page, from servers of either version of the request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from infra.errors import StorageError

Ask = Callable[[str, Mapping[str, object]], dict[str, Any]]
"""Sends a request, given its operation and its parameters, and returns the answer."""


def entries(ask: Ask, request: Mapping[str, object], url: str) -> Iterator[dict[str, Any]]:
    """Yield every entry of a listing, with one page in memory.

    A server that knows only the first version of the request answers the second one with a first page and no token
    for the next. Its listing is continued after the last key.

    Raises
    ------
    StorageError
        If a page says that more follow, but not from where.
    """
    operation, place = "list_objects_v2", dict[str, object]()
    while True:
        page = ask(operation, {**request, **place})
        found = page.get("Contents", [])
        yield from found
        if token := page.get("NextContinuationToken"):
            place = {"ContinuationToken": token}
        elif not page.get("IsTruncated"):
            return
        elif found:
            operation, place = "list_objects", {"Marker": found[-1]["Key"]}
        else:
            raise StorageError(f"{url}: the server ends its listing early; list the objects in a manifest")
