"""The rows of stored arrays in another order, or without some of them: whole chunks change places.

Icechunk moves chunks of regular grids only, as it cannot know what the lengths of others become; so
an array of unequal chunks is one of chunks of one row while its chunks are moved.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import icechunk
import numpy as np
import zarr

from vzarr.combine.mixed_array import READ_AT_ONCE
from vzarr.combine.plan import Layout
from vzarr.repository.layouts import layout_of, open_arrays
from vzarr.repository.mixed_arrays import edit_document
from vzarr.repository.references import (
    References,
    chunks_behind,
    delete_chunks,
    overwrite,
    read_references,
)
from vzarr.upstream.zarr import RectilinearChunkGridMetadata, dimension_names

SCRATCH = "_virtual_zarr_rows"
"""An array at the root in which many rows lie while they change places."""


MARKED = 100_000_000
"""Places of a grid up to which each has a byte: sorting a million of them takes a second more."""


class CutChunkError(Exception):
    """A row at which rows are to be parted lies inside a chunk that is a reference.

    ``borders`` are the rows at which the array can be parted.
    """

    def __init__(self, path: str, row: int, borders: list[int]) -> None:
        super().__init__(f"{path}: row {row} lies inside a chunk")
        self.path, self.row, self.borders = path, row, borders


def growing_arrays(store: icechunk.IcechunkStore, group: str, dimension: str) -> list[str]:
    """The paths of the arrays of a group that have the dimension."""
    return [
        f"{group}/{name}".lstrip("/")
        for name, array in sorted(open_arrays(store, group).items())
        if dimension in dimension_names(array)
    ]


def rearrange(
    store: icechunk.IcechunkStore,
    path: str,
    dimension: str,
    spans: Sequence[slice],
    written: Mapping[str, datetime],
) -> None:
    """Let an array consist of ``spans`` of its rows along a dimension, one behind the other.

    References are moved as they are, native chunks too. Rows that fill no whole chunks are copied
    if none of them is a reference. ``written`` says when each source was last changed as it was
    committed: its references keep to that.

    Raises
    ------
    CutChunkError
        If a span begins or ends inside a chunk that is a reference.
    """
    array = zarr.open_array(store, path=path, mode="r")
    layout = layout_of(array, dimension)
    spans = joined(spans)
    first = _first_moved(spans)
    if first == layout.rows:
        return
    rows = sum(span.stop - span.start for span in spans)
    chunks = _chunks_of(layout, spans)
    if chunks is not None:
        _move_chunks(store, path, array, layout, chunks, rows, written)
    elif _has_reference(store, path, layout, first):
        borders = borders_of(layout)
        cut = [row for span in spans for row in (span.start, span.stop) if row not in borders]
        raise CutChunkError(path, cut[0] if cut else first, borders)
    else:
        _move_rows(store, path, layout, spans, first, rows)


def joined(spans: Sequence[slice]) -> list[slice]:
    """Spans with those that continue one another as one, and without empty ones."""
    result: list[slice] = []
    for span in spans:
        if span.start == span.stop:
            continue
        if result and result[-1].stop == span.start:
            result[-1] = slice(result[-1].start, span.stop)
        else:
            result.append(span)
    return result


def borders_of(layout: Layout) -> list[int]:
    """The rows at which chunks of an array begin, and its end."""
    edges = layout.edges or (layout.chunk,) * -(-layout.rows // layout.chunk)
    return np.minimum(np.cumsum([0, *edges]), layout.rows).tolist()


def _first_moved(spans: Sequence[slice]) -> int:
    """The first row behind those that stay where they are."""
    return spans[0].stop if spans and spans[0].start == 0 else 0


def _chunks_of(layout: Layout, spans: Sequence[slice]) -> list[int] | None:
    """The numbers of the chunks that make up the spans; None where these part a chunk.

    The last span may end inside a chunk: a reader cuts it where the array ends.
    """
    borders = borders_of(layout)
    number_at = {row: number for number, row in enumerate(borders)}
    lengths = np.diff(borders)
    chunks: list[int] = []
    for number, span in enumerate(spans):
        is_last = number == len(spans) - 1
        stop = layout.chunk_at(span.stop - 1) + 1 if is_last else number_at.get(span.stop)
        if span.start not in number_at or stop is None:
            return None
        chunks += range(number_at[span.start], stop)
    if layout.edges is None and any(lengths[chunk] != layout.chunk for chunk in chunks[:-1]):
        return None  # the last chunk of a regular array is a part of one, and would not be last
    return chunks


def _has_reference(store: icechunk.IcechunkStore, path: str, layout: Layout, first: int) -> bool:
    """Whether a chunk with row ``first`` or later rows is a reference."""
    chunk = layout.chunk_at(first)
    return any(
        (batch.index[:, layout.axis] >= chunk).any() for batch in read_references(store, path)
    )


def _move_chunks(
    store: icechunk.IcechunkStore,
    path: str,
    array: zarr.Array,
    layout: Layout,
    chunks: list[int],
    rows: int,
    written: Mapping[str, datetime],
) -> None:
    """Let an array consist of some of its chunks; ``rows`` are its rows then."""
    axis = layout.axis
    grid: Any = array.metadata.chunk_grid
    shape = [*array.shape[:axis], rows, *array.shape[axis + 1 :]]
    is_regular = not isinstance(grid, RectilinearChunkGridMetadata)
    edges = layout.edges or ()
    if not is_regular:
        # Chunks of rows that were taken out are in the list of lengths still.
        counts = [1 if isinstance(each, int) else len(each) for each in grid.chunk_shapes]
        edit_document(store, path, _one_row_a_chunk(counts))
    _reindex(store, path, axis, chunks, written)

    def finish(document: dict[str, Any]) -> None:
        document["shape"] = shape
        if not is_regular:
            sizes = list(grid.chunk_shapes)
            sizes[axis] = tuple(edges[chunk] for chunk in chunks)
            new = RectilinearChunkGridMetadata(chunk_shapes=tuple(sizes))
            document["chunk_grid"] = new.to_dict()

    edit_document(store, path, finish)


def _one_row_a_chunk(counts: list[int]) -> Any:
    def change(document: dict[str, Any]) -> None:
        document["shape"] = counts
        document["chunk_grid"] = {
            "name": "regular",
            "configuration": {"chunk_shape": [1] * len(counts)},
        }

    return change


def _reindex(
    store: icechunk.IcechunkStore,
    path: str,
    axis: int,
    chunks: list[int],
    written: Mapping[str, datetime],
) -> None:
    """Move chunk ``chunks[n]`` to place n, for all n; clear the places that nothing moves to.

    Icechunk 2.3 takes 15 µs for each chunk that it moves, by ``shift_array`` too, and 3 µs for one
    whose reference is written: so references are written anew, and native chunks moved.
    """
    first = next((new for new, old in enumerate(chunks) if new != old), len(chunks))
    target = {old: new for new, old in enumerate(chunks) if new >= first}
    # Icechunk keeps Python's lock while it moves chunks, and other threads stand still; this has
    # fetched all that it needs by then.
    there, references = chunks_behind(store, path, axis, first)
    if not len(there) or all(new == old for old, new in target.items()):
        pass  # nothing is there, as of a product that ends earlier; or some are cleared only
    elif references is not None and written.keys() >= {*references.urls}:
        _write_moved(store, path, axis, references, target, written)
    else:
        _move_natively(store, path, axis, target)
    delete_chunks(store, path, _left_behind(there, axis, target))


def _write_moved(
    store: icechunk.IcechunkStore,
    path: str,
    axis: int,
    references: References,
    target: Mapping[int, int],
    written: Mapping[str, datetime],
) -> None:
    """Write references to their new places, those of a file at a time, which share a time."""
    size = 1 + max(int(references.index[:, axis].max()), *target)
    new_row = np.full(size, -1, np.int64)
    new_row[[*target]] = [*target.values()]
    index = references.index.copy()
    index[:, axis] = new_row[index[:, axis]]
    moving = np.flatnonzero((index[:, axis] >= 0) & (index != references.index).any(axis=1))
    numbers: dict[str, int] = {}
    files = np.array([numbers.setdefault(references.urls[n], len(numbers)) for n in moving])
    order = np.argsort(files, kind="stable")
    stops = np.searchsorted(files[order], np.arange(len(numbers)), "right")
    begin = 0
    for url, stop in zip(numbers, stops.tolist(), strict=True):
        rows = moving[order[begin:stop]]
        begin = stop
        part = References(
            index[rows], [url] * len(rows), references.offsets[rows], references.lengths[rows]
        )
        overwrite(store, path, part, written[url])


def _move_natively(
    store: icechunk.IcechunkStore, path: str, axis: int, target: Mapping[int, int]
) -> None:
    """By Icechunk, of which ``backward`` would cost as much again for each chunk."""

    def forward(index: Any) -> list[int] | None:
        new = target.get(index[axis])
        if new is None or new == index[axis]:
            return None  # it stays, or is cleared
        moved = list(index)
        moved[axis] = new
        return moved

    store.session.reindex_array(f"/{path}", forward)


def _left_behind(there: np.ndarray, axis: int, target: dict[int, int]) -> np.ndarray:
    """The places of chunks, of shape (n, dimensions), to which none of those ``there`` moves."""
    if not len(there):
        return there
    grid = tuple((there.max(axis=0) + 1).tolist())
    size = max(grid[axis], 1 + max(target.values(), default=0))
    grid = (*grid[:axis], size, *grid[axis + 1 :])
    new_row = np.full(size, -1, np.int64)
    for old, new in target.items():
        if old < size:
            new_row[old] = new
    moved = there.copy()
    moved[:, axis] = new_row[there[:, axis]]
    moved = moved[moved[:, axis] >= 0]
    before, after = (np.ravel_multi_index(tuple(index.T), grid) for index in (there, moved))
    if math.prod(grid) <= MARKED:
        marks = np.zeros(math.prod(grid), bool)
        marks[before] = True
        marks[after] = False
        left = np.flatnonzero(marks)
    else:
        left = np.setdiff1d(before, after)
    return np.stack(np.unravel_index(left, grid), axis=1)


def _move_rows(
    store: icechunk.IcechunkStore,
    path: str,
    layout: Layout,
    spans: Sequence[slice],
    first: int,
    rows: int,
) -> None:
    """Copy rows to their places: in memory, or by way of an array of their own if they are many."""
    behind = spans[1:] if spans and spans[0].start == 0 else spans
    array = zarr.open_array(store, path=path, mode="r+")
    row_bytes = math.prod(n for at, n in enumerate(array.shape) if at != layout.axis)
    step = max(1, READ_AT_ONCE // max(1, row_bytes * array.dtype.itemsize))
    shape = [*array.shape[: layout.axis], rows, *array.shape[layout.axis + 1 :]]
    if rows - first <= step:
        parts = [array[_rows(layout, span)] for span in behind]
        array.resize(tuple(shape))
        if parts:
            values = np.concatenate(parts, axis=layout.axis)
            array[_rows(layout, slice(first, rows))] = values
        return
    scratch = zarr.create_array(
        store,
        name=SCRATCH,
        shape=shape,
        chunks=tuple(layout.metadata.chunk_grid.chunk_shape),
        dtype=array.metadata.dtype,
        fill_value=array.fill_value,
    )
    at = first
    for span in behind:
        for start in range(span.start, span.stop, step):
            part = slice(start, min(start + step, span.stop))
            scratch[_rows(layout, slice(at, at + part.stop - part.start))] = array[
                _rows(layout, part)
            ]
            at += part.stop - part.start
    array.resize(tuple(shape))
    for start in range(first, rows, step):
        here = _rows(layout, slice(start, min(start + step, rows)))
        array[here] = scratch[here]
    del zarr.open_group(store, mode="r+")[SCRATCH]


def _rows(layout: Layout, span: slice) -> tuple[slice, ...]:
    return (slice(None),) * layout.axis + (span,)
