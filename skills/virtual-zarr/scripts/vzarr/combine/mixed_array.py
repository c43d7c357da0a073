"""Arrays whose chunks are of unequal length along one axis, or partly copies: what holds them
until they are written.

VirtualiZarr's array is of regular chunks, all of them references. A ``MixedArray`` is one that also
says how many rows each of its chunks has, and which rows are copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup, ManifestStore

from vzarr.sources.schemes import Access, object_store, root_of
from vzarr.upstream.virtualizarr import (
    chunk_lengths,
    chunk_offsets,
    chunk_urls,
    copy_and_replace_metadata,
    make_manifest,
    manifest_chunk_shape,
    referred_urls,
)

zarr.config.set({"array.rectilinear_chunks": True})

FLAG = "array.rectilinear_chunks"
READERS_NEED = (
    f"zarr 3.2 or later with zarr.config.set({{'{FLAG}': True}}) or "
    "ZARR_ARRAY__RECTILINEAR_CHUNKS=True"
)
"""What opens an array of unequal chunks: an experiment of zarr 3."""
READ_AT_ONCE = 64 * 1024**2
"""Bytes of copied rows that are in memory at a time, about."""


@dataclass(frozen=True)
class Rows:
    """Rows of an array that are copied from a file: ``count`` from ``start`` on.

    ``source`` holds them from its row ``first`` on, as the array stores them, or as ``recode`` does
    of what is there.
    """

    start: int
    count: int
    source: ManifestArray | np.ndarray
    first: int
    access: Access
    axis: int
    recode: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of one step along the axis, unpacked."""
        lengths = (size for at, size in enumerate(self.source.shape) if at != self.axis)
        return math.prod(lengths) * self.source.dtype.itemsize

    def read(self, begin: int, count: int) -> np.ndarray:
        """Some of the rows, raw: neither scaled nor masked."""
        index: list[Any] = [slice(None)] * self.source.ndim
        index[self.axis] = slice(self.first + begin, self.first + begin + count)
        source: Any = self.source
        if isinstance(source, ManifestArray):
            source = open_raw(source, self.access)
        values = np.asarray(source[tuple(index)])
        return values if self.recode is None else self.recode(values)


def open_raw(array: ManifestArray, access: Access) -> zarr.Array:
    """What reads a file's variable through its references, as stored numbers."""
    places = referred_urls(array.manifest)
    roots = {root_of(place): place for place in sorted(places)}
    stores = {root: object_store(place, access)[0] for root, place in roots.items()}
    group = ManifestGroup({"raw": array})
    return zarr.open_array(
        ManifestStore(group, registry=ObjectStoreRegistry(stores)), path="raw", mode="r"
    )


class MixedArray(ManifestArray):
    """References along ``axis`` in chunks of ``edges`` rows each, and rows that are copied.

    ``metadata`` is that of a regular array of the same shape, whose chunks are as long as the
    longest edge. The chunks of ``rows`` have no reference. ``is_regular``: it is written with that
    metadata, and whatever does not begin with one of its chunks is among the ``rows``.
    """

    def __init__(
        self,
        metadata: Any,
        manifest: ChunkManifest,
        axis: int,
        edges: Sequence[int],
        rows: Sequence[Rows] = (),
        is_regular: bool = False,
    ) -> None:
        super().__init__(metadata, manifest)
        self.axis, self.edges, self.rows = axis, tuple(edges), tuple(rows)
        self.is_regular = is_regular

    @property
    def row_bytes(self) -> int:
        """Decoded bytes of one row."""
        lengths = (size for at, size in enumerate(self.shape) if at != self.axis)
        return math.prod(lengths) * self.dtype.itemsize

    @property
    def copied_bytes(self) -> int:
        """Bytes of the steps that are copied, unpacked."""
        return sum(rows.count for rows in self.rows) * self.row_bytes

    def __array_function__(self, func: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.concatenate:
            return _concatenate(list(args[0]), kwargs.get("axis", args[1] if args[1:] else 0))
        return super().__array_function__(func, types, args, kwargs)


class TrimmedArray(ManifestArray):
    """Rows of ``source`` along ``axis`` behind its first ``skipped``, which begin inside a chunk.

    It has no reference itself: those of ``source`` begin with a chunk of which rows are left out,
    so what uses it has to copy the rest of that one.
    """

    def __init__(self, source: ManifestArray, axis: int, skipped: int) -> None:
        shape = list(source.shape)
        shape[axis] -= skipped
        metadata = copy_and_replace_metadata(source.metadata, new_shape=shape)
        super().__init__(metadata, empty_array(metadata).manifest)
        self.source, self.axis, self.skipped = source, axis, skipped

    @property
    def lead(self) -> int:
        """Rows that are left of the chunk in which it begins."""
        chunk = manifest_chunk_shape(self.source.metadata)[self.axis]
        return min(self.shape[self.axis], chunk - self.skipped)


def chunks_of(array: ManifestArray, axis: int, begin: int, stop: int) -> ManifestArray:
    """The chunks of an array from number ``begin`` along an axis on, to row ``stop``."""
    chunk = manifest_chunk_shape(array.metadata)[axis]
    region = (slice(None),) * axis + (slice(begin, -(-stop // chunk)),)
    parts = (chunk_urls, chunk_offsets, chunk_lengths)
    manifest = make_manifest(*(part(array.manifest)[region] for part in parts))
    shape = list(array.shape)
    shape[axis] = stop - begin * chunk
    return ManifestArray(copy_and_replace_metadata(array.metadata, new_shape=shape), manifest)


def _concatenate(arrays: list[MixedArray], axis: int) -> MixedArray:
    """One array of several that were made fit for each other."""
    first = arrays[0]
    if axis != first.axis:
        raise ValueError(f"chunks are of unequal length along axis {first.axis}, not {axis}")
    rows: list[Rows] = []
    edges: list[int] = []
    length = 0
    for array in arrays:
        rows += [replace(each, start=each.start + length) for each in array.rows]
        edges += array.edges
        length += array.shape[axis]
    shape = [*first.shape[:axis], length, *first.shape[axis + 1 :]]
    metadata = copy_and_replace_metadata(first.metadata, new_shape=shape)
    manifest = _joined([array.manifest for array in arrays], axis)
    return MixedArray(metadata, manifest, axis, edges, rows, first.is_regular)


def _joined(manifests: list[ChunkManifest], axis: int) -> ChunkManifest:
    return make_manifest(
        np.concatenate([chunk_urls(each) for each in manifests], axis=axis),
        np.concatenate([chunk_offsets(each) for each in manifests], axis=axis),
        np.concatenate([chunk_lengths(each) for each in manifests], axis=axis),
    )


def empty_array(metadata: Any) -> ManifestArray:
    """An array of regular chunks without a reference."""
    sizes = zip(metadata.shape, manifest_chunk_shape(metadata), strict=True)
    return ManifestArray(metadata, no_references([-(-size // chunk) for size, chunk in sizes]))


def no_references(grid: Sequence[int]) -> ChunkManifest:
    """The manifest of chunks none of which is there."""
    return make_manifest(
        np.full(grid, "", np.dtypes.StringDType()),
        np.zeros(grid, np.uint64),
        np.zeros(grid, np.uint64),
    )


def chunk_shape(array: ManifestArray) -> tuple[int | None, ...]:
    """What must agree for arrays to be joined: None along an axis of unequal chunks."""
    shape: tuple[int | None, ...] = manifest_chunk_shape(array.metadata)
    if isinstance(array, MixedArray) and not array.is_regular:
        shape = (*shape[: array.axis], None, *shape[array.axis + 1 :])
    return shape


def longest_edges(chunks: Any) -> tuple[int, ...] | None:
    """The chunks of an array as xarray tells them, with the longest of those of unequal length."""
    if chunks is None:
        return None
    return tuple(max(edge) if isinstance(edge, tuple) else edge for edge in chunks)


def count_references(data: ManifestArray) -> int:
    """References of a virtual variable; chunks of a regular one that are not there, too."""
    if isinstance(data, MixedArray):
        return int((chunk_urls(data.manifest) != "").sum())
    return len(data.manifest)


def copied_bytes(data: Any) -> int:
    """Decoded bytes of a variable's data that are copied though it is virtual."""
    return data.copied_bytes if isinstance(data, MixedArray) else 0


def as_rectilinear(array: ManifestArray, axis: int, access: Access, is_last: bool) -> MixedArray:
    """A file's array as part of one whose chunks have the lengths that they have here.

    A last chunk that is shorter than the others is copied: HDF5 stores it as long as these.
    Nothing follows the last file's, so a reader cuts it where the array ends. So is the rest of a
    chunk in which a part of a file begins.
    """
    if isinstance(array, TrimmedArray):
        lead, source = array.lead, array.source
        shape = list(array.shape)
        shape[axis] = lead
        like = copy_and_replace_metadata(array.metadata, new_shape=shape)
        copied = [Rows(0, lead, source, array.skipped, access, axis)]
        head = MixedArray(like, empty_array(like).manifest, axis, [lead], copied)
        if lead == array.shape[axis]:
            return head
        tail = chunks_of(source, axis, 1, source.shape[axis])
        return _concatenate([head, as_rectilinear(tail, axis, access, is_last)], axis)
    chunk, length = manifest_chunk_shape(array.metadata)[axis], array.shape[axis]
    edges, left = [chunk] * (length // chunk), length % chunk
    manifest, rows = array.manifest, []
    if left and is_last:
        edges.append(chunk)
    elif left:
        edges.append(left)
        rows = [Rows(length - left, left, array, length - left, access, axis)]
        manifest = _without_last(manifest, axis)
    return MixedArray(array.metadata, manifest, axis, edges, rows)


def _without_last(manifest: ChunkManifest, axis: int) -> ChunkManifest:
    """Without the references to the last chunks along an axis."""
    at = (slice(None),) * axis + (-1,)
    paths, offsets, lengths = (
        part.copy()
        for part in (chunk_urls(manifest), chunk_offsets(manifest), chunk_lengths(manifest))
    )
    paths[at], offsets[at], lengths[at] = "", 0, 0
    return make_manifest(paths, offsets, lengths)


def as_copy(
    source: ManifestArray | np.ndarray,
    metadata: Any,
    axis: int,
    access: Access,
    edges: Sequence[int] | None = None,
    is_regular: bool = True,
    recode: Callable[[np.ndarray], np.ndarray] | None = None,
) -> MixedArray:
    """A file's numbers as part of an array, with all of its rows copied.

    ``metadata`` is the array's that it becomes part of, in which it has chunks of ``edges`` rows.
    """
    length = source.shape[axis]
    edges = [length] if edges is None else list(edges)
    like = copy_and_replace_metadata(metadata, new_shape=list(source.shape))
    inner = zip(source.shape, manifest_chunk_shape(like), strict=True)
    grid = [-(-size // chunk) for size, chunk in inner]
    grid[axis] = len(edges)
    first = 0
    if isinstance(source, TrimmedArray):
        first, source = source.skipped, source.source
    rows = [Rows(0, length, source, first, access, axis, recode)]
    return MixedArray(like, no_references(grid), axis, edges, rows, is_regular)


def as_regular(array: ManifestArray, axis: int) -> MixedArray:
    """An array of regular chunks as part of one some chunks of which are copied."""
    count = array.manifest.shape_chunk_grid[axis]
    chunk = manifest_chunk_shape(array.metadata)[axis]
    return MixedArray(array.metadata, array.manifest, axis, [chunk] * count, is_regular=True)


def edges_of(length: int, chunk: int) -> list[int]:
    """The rows of each chunk of a file; the last may have less."""
    left = length % chunk
    return [chunk] * (length // chunk) + ([left] if left else [])
