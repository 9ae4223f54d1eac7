"""Manifests (`read_manifest`): CSV or Parquet files that list the images of a source instead of a bucket listing.

The columns are `key`, `etag` and `size` (bytes), in any order; others are ignored. Keys are relative to the URL in
the column `base`, which is the same in every row, or else to the manifest's own folder. An etag must change
whenever the object's bytes change; the etags of S3, as inventories list them, quoted or not, are suitable.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from infra.errors import ObjectNotFound, UserError
from infra.records import ImageRef
from infra.settings import absolute_url
from infra.storage.location import is_local, open_location
from infra.storage.spill import SpillFile
from tasks.media.key_hashes import Hashes, SeenHashes, find, hash_texts

COLUMNS = ("key", "etag", "size")
BATCH_ROWS = 32_768
_BLOCK_BYTES = 4 * 1024 * 1024


class ManifestInvalid(UserError):
    """Raised if a manifest cannot be used; the message names the file, the position in it and the remedy."""


def is_manifest(source: str) -> bool:
    """Return whether a source is a manifest, by its suffix `.csv` or `.parquet` in any case."""
    return source.lower().endswith((".csv", ".parquet"))


def manifest_base(source: str) -> str:
    """Return the URL that the keys of a manifest are relative to.

    Raises
    ------
    ManifestInvalid
        If it is not a manifest, or its first row has no base.
    """
    first = next(_frames(source), None)
    if first is None or "base" not in first.columns or first.is_empty():
        return _folder(source)
    return absolute_url(_first_base(source, first))


def read_manifest(source: str) -> Iterator[ImageRef]:
    """Yield the images that a manifest lists, in its order.

    The manifest is read in batches; a remote one is first fetched to a temporary file.

    Raises
    ------
    ManifestInvalid
        If a column is missing, a row lacks key, etag or size, or a key is listed twice.
    """
    rows = 0
    base: str | None = None
    with SpillFile() as file:
        seen = SeenHashes(file)
        for frame in _frames(source):
            if "base" in frame.columns:
                base = base or _first_base(source, frame)
                _refuse(source, rows, frame["base"].eq_missing(base).not_(), f"a base other than {base}")
            _refuse_unusable(source, rows, frame)
            seen.add(hash_texts(frame["key"]))
            etags = frame["etag"].str.strip_chars('"')
            yield from map(ImageRef, frame["key"], etags, frame["size"])
            rows += frame.height
        _refuse_repeated(source, seen.repeated())


def _refuse_unusable(source: str, rows: int, frame: pl.DataFrame) -> None:
    _refuse(source, rows, frame["key"].is_null() | (frame["key"] == ""), "no key")
    etags = frame["etag"]
    no_etag = etags.is_null() | (etags.str.strip_chars('"') == "")
    _refuse(source, rows, no_etag, "no etag, so a change of the image could not be seen")
    sizes = frame["size"]
    _refuse(source, rows, sizes.is_null() | (sizes < 0), "no size in whole bytes")


def _refuse(source: str, rows: int, bad: pl.Series, what: str) -> None:
    if bad.any():
        row = rows + int(bad.arg_max() or 0) + 1
        raise ManifestInvalid(f"{source}: row {row} has {what}: correct it, or leave the row out")


def _first_base(source: str, frame: pl.DataFrame) -> str:
    base = frame["base"][0]
    if not base:
        raise ManifestInvalid(
            f"{source}: row 1 has no base: give every row the same base, or leave the column out"
        )
    return str(base)


def _refuse_repeated(source: str, repeated: Hashes) -> None:
    """Refuse repeated keys, which would write one output twice, possibly from different bytes."""
    if len(repeated):
        keys = (
            frame["key"].filter(pl.Series(find(repeated, hash_texts(frame["key"]))[1]))
            for frame in _frames(source)
        )
        key = next(found[0] for found in keys if len(found))
        raise ManifestInvalid(f"{source}: key {key!r} is listed more than once: keep one of its rows")


def _frames(source: str) -> Iterator[pl.DataFrame]:
    """Yield the needed columns with the needed types, a bounded number of rows at a time."""
    batches = _csv_batches if source.lower().endswith(".csv") else _parquet_batches
    with _named_errors(source):
        for batch in batches(source):
            frame = pl.DataFrame(batch)
            texts = pl.exclude("size").cast(pl.String)
            yield frame.with_columns(texts, pl.col("size").cast(pl.Int64, strict=False))


def _csv_batches(source: str) -> Iterator[pa.RecordBatch]:
    with _opened(source) as file:
        wanted = _wanted(source, _header(file.read(_BLOCK_BYTES)))
        file.seek(0)
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            # Sizes are read as text and converted later, so that a bad one can be reported with its row.
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string())
            ),
        )
        with reader:
            yield from reader


def _parquet_batches(source: str) -> Iterator[pa.RecordBatch]:
    with _opened(source) as opened, pyarrow.parquet.ParquetFile(opened) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=_wanted(source, file.schema_arrow.names))


def _header(data: bytes) -> list[str]:
    return next(csv.reader(io.StringIO(data.decode("utf-8-sig", "replace"))), [])


def _wanted(source: str, names: list[str]) -> list[str]:
    absent = [name for name in COLUMNS if name not in names]
    if absent:
        raise ManifestInvalid(
            f"{source} has no column {', '.join(absent)}: a manifest has key, etag and size, with a header"
        )
    return [name for name in (*COLUMNS, "base") if name in names]


def _opened(source: str) -> pa.NativeFile:
    """Open a native Arrow file: Arrow's reader threads must not hold Python objects when Python exits."""
    if is_local(source):
        if Path(source).exists() and not Path(source).is_file():
            raise ManifestInvalid(
                f"{source} is not a file: a manifest cannot be read from a pipe or a device"
            )
        return pa.OSFile(source)
    with tempfile.NamedTemporaryFile(prefix="derain-manifest-") as file:
        file.write(open_location(_folder(source)).fetch(source.rpartition("/")[2]))
        file.flush()
        return pa.OSFile(file.name)  # stays readable after its name is removed


@contextmanager
def _named_errors(source: str) -> Iterator[None]:
    """Add the file name to errors of pyarrow, which contain only the position in the file."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(f"{source} does not exist") from error
    except (pa.ArrowInvalid, pl.exceptions.PolarsError, OSError) as error:
        raise ManifestInvalid(
            f"{source} cannot be read as a manifest: {' '.join(str(error).split())}"
        ) from error


def _folder(source: str) -> str:
    return str(Path(source).parent) if is_local(source) else source.rpartition("/")[0]
