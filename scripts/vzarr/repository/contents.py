"""What a snapshot holds: its arrays, and how many chunks of them are virtual or native."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import compress
from types import MappingProxyType
from typing import Any

import icechunk
import numpy as np
import zarr

from vzarr.repository.ledger import GROUP
from vzarr.repository.references import BATCH, VIRTUAL
from vzarr.repository.strips import Strip, Tally
from vzarr.upstream.zarr import dimension_names, sync

NOTHING: Mapping[str, str | None] = MappingProxyType({})

ZARR_OWN = (
    *("bytes", "gzip", "zstd", "blosc", "crc32c", "sharding_indexed", "transpose"),
    *("vlen-utf8", "vlen-bytes", "scale_offset", "cast_value"),
)
"""Codecs of Zarr 3.4 itself; those named ``numcodecs.…`` come with it. Others are installed."""


@dataclass(frozen=True)
class ArrayContents:
    """One array. ``shape`` and ``chunks`` in elements; ``virtual`` and ``native`` are numbers of
    chunks, with their bytes as stored; ``missing`` chunks read as the fill value. ``urls`` are the
    files that its references lead to. ``strip``: its chunks along the records.
    """

    path: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[Any, ...]
    dtype: str
    codecs: tuple[str, ...]
    virtual: int
    virtual_bytes: int
    native: int
    native_bytes: int
    missing: int
    urls: frozenset[str] = frozenset()
    strip: Strip | None = None


def describe_arrays(
    store: icechunk.IcechunkStore, along: Mapping[str, str | None] = NOTHING
) -> list[ArrayContents]:
    """All arrays but those of this tool's own account, in the order of their paths.

    ``along``: the dimension of the records in each group; else it is an array's first.
    """
    root = zarr.open_group(store, mode="r")
    arrays = []
    for path, array in sorted(root.members(max_depth=None)):
        if isinstance(array, zarr.Array) and path.split("/")[0] != GROUP:
            arrays.append(_describe(store, path, array, along))
    return arrays


def _describe(
    store: icechunk.IcechunkStore, path: str, array: zarr.Array, along: Mapping[str, str | None]
) -> ArrayContents:
    tally = _tally(path, array, along)
    counts, sizes, urls = _count(store, path, tally)
    virtual, native = counts[VIRTUAL], int(counts.sum() - counts[VIRTUAL])
    metadata = array.metadata
    return ArrayContents(
        path=path,
        dims=tuple(map(str, getattr(metadata, "dimension_names", None) or ())),
        shape=array.shape,
        chunks=_chunks(array),
        dtype=str(array.dtype),
        codecs=tuple(_codec_names(metadata.to_dict())),
        virtual=int(virtual),
        virtual_bytes=int(sizes[VIRTUAL]),
        native=native,
        native_bytes=int(sizes.sum() - sizes[VIRTUAL]),
        missing=max(0, _number_of_chunks(array) - int(counts.sum())),
        urls=urls,
        strip=tally.strip() if tally else None,
    )


def _tally(path: str, array: zarr.Array, along: Mapping[str, str | None]) -> Tally | None:
    names = dimension_names(array)
    dimension = along.get(path.rpartition("/")[0], names[0] if names else None)
    grid = _chunk_grid(array)
    if dimension is None or dimension not in names or not math.prod(grid):
        return None
    return Tally(dimension, names.index(dimension), grid)


def _chunk_grid(array: zarr.Array) -> tuple[int, ...]:
    if hasattr(array, "cdata_shape"):
        return tuple(array.cdata_shape)
    return tuple(len(sizes) for sizes in array.write_chunk_sizes)


def _count(
    store: icechunk.IcechunkStore, path: str, tally: Tally | None
) -> tuple[np.ndarray, np.ndarray, frozenset[str]]:
    """Chunks and their bytes by kind, and the files of those that are virtual."""
    batches: AsyncIterator = store.array_chunk_iterator(f"/{path}", batch_size=BATCH)

    async def count() -> tuple[np.ndarray, np.ndarray, frozenset[str]]:
        counts, sizes = np.zeros(8, "i8"), np.zeros(8, "i8")
        urls: set[str] = set()
        async for index, kinds, locations, _, lengths, _ in batches:
            virtual = kinds == VIRTUAL
            if tally is not None:
                tally.add(index, virtual)
            urls |= set(locations if virtual.all() else compress(locations, virtual.tolist()))
            counts += np.bincount(kinds, minlength=8)
            sizes += np.bincount(kinds, weights=lengths, minlength=8).astype("i8")
        return counts, sizes, frozenset(urls)

    return sync(count())


def _chunks(array: zarr.Array) -> tuple[Any, ...]:
    """The length of a chunk in each dimension; a list of lengths where they differ."""
    grid = array.metadata.to_dict().get("chunk_grid", {})
    shapes = grid.get("configuration", {}).get("chunk_shapes") if isinstance(grid, dict) else None
    return tuple(array.chunks) if shapes is None else tuple(shapes)


def _number_of_chunks(array: zarr.Array) -> int:
    return math.prod(array.cdata_shape) if hasattr(array, "cdata_shape") else array.nchunks


def _codec_names(metadata: dict[str, Any]) -> list[str]:
    return [codec["name"] for codec in metadata.get("codecs", ()) if isinstance(codec, dict)]


def needed_codecs(arrays: list[ArrayContents]) -> list[str]:
    """Names of codecs that Zarr lacks, which readers of these arrays have to install."""
    names = {name for array in arrays for name in array.codecs} - set(ZARR_OWN)
    return sorted(name for name in names if not name.startswith("numcodecs."))
