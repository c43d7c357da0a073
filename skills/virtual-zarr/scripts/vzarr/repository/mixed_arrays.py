"""Arrays of unequal chunks, or with copies among their references, written into a store.

Zarr's ``resize`` adds one chunk as long as the growth, and VirtualiZarr writes regular chunks only;
so the lengths of chunks are written into the array's metadata here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import icechunk
import numpy as np
import zarr
from virtualizarr.manifests import ChunkManifest, ManifestArray

from vzarr.combine.mixed_array import READ_AT_ONCE, MixedArray, Rows
from vzarr.combine.plan import Layout
from vzarr.errors import Refused
from vzarr.repository.layouts import layout_of
from vzarr.repository.references import delete_chunks, existing_chunks, read_references
from vzarr.upstream.virtualizarr import (
    chunk_lengths,
    chunk_offsets,
    chunk_urls,
    make_manifest,
    manifest_chunk_shape,
)
from vzarr.upstream.zarr import RectilinearChunkGridMetadata, cpu, default_buffer_prototype, sync
from vzarr.virtualize.plain_chunks import cut


def place(store: icechunk.IcechunkStore, path: str, array: MixedArray, checksum: datetime) -> None:
    """Fill an array that is there, of the right shape and without a chunk."""
    if not array.is_regular:
        _set_form(store, path, array.shape, array.axis, array.edges)
    _write_chunks(store, path, array, array.axis, 0, 0, checksum)


def needs_care(array: zarr.Array, data: ManifestArray) -> bool:
    """Whether what follows a stored array has to be written by ``grow``."""
    if isinstance(data, MixedArray):
        return True
    if isinstance(array.metadata.chunk_grid, RectilinearChunkGridMetadata):
        return True
    return tuple(array.metadata.chunk_grid.chunk_shape) != manifest_chunk_shape(data.metadata)


def grow(
    store: icechunk.IcechunkStore,
    path: str,
    data: ManifestArray,
    dimension: str,
    checksum: datetime,
    written: Mapping[str, datetime],
) -> None:
    """Write ``data`` behind the rows of an array.

    ``written`` says when each file that references lead to was last changed as they were made: cut
    references keep to it.
    """
    layout = layout_of(zarr.open_array(store, path=path, mode="r"), dimension)
    axis, rows = layout.axis, layout.rows
    shape = list(layout.metadata.shape)
    shape[axis] += data.shape[axis]
    if isinstance(data, MixedArray) and not data.is_regular:
        edges, tail = _settled(store, path, layout)
        _set_form(store, path, shape, axis, (*edges, *data.edges))
        if tail is not None:
            _write_rows(store, path, axis, rows - tail.shape[axis], tail)
        _write_chunks(store, path, data, axis, len(edges), rows, checksum)
        return
    chunk = manifest_chunk_shape(data.metadata)[axis]
    if layout.edges is None and chunk != layout.chunk:
        _recut(store, path, layout, chunk, written)
    zarr.open_array(store, path=path, mode="r+").resize(tuple(shape))
    _write_chunks(store, path, data, axis, rows // chunk, rows, checksum)


def _settled(
    store: icechunk.IcechunkStore, path: str, layout: Layout
) -> tuple[tuple[int, ...], np.ndarray | None]:
    """The chunks of a stored array that end with its rows, and the rows of a last one that did not.

    These are copied: what is stored of that chunk is longer than what is left of it.
    """
    edges, rows = layout.edges, layout.rows
    if edges is None:
        edges = (layout.chunk,) * -(-rows // layout.chunk)
    over = sum(edges) - rows
    if not over:
        return edges, None
    left = edges[-1] - over
    index: list[Any] = [slice(None)] * len(layout.metadata.shape)
    index[layout.axis] = slice(rows - left, rows)
    tail = np.asarray(zarr.open_array(store, path=path, mode="r")[tuple(index)])
    return (*edges[:-1], left), tail


def _write_chunks(
    store: icechunk.IcechunkStore,
    path: str,
    array: ManifestArray,
    axis: int,
    chunks: int,
    rows: int,
    checksum: datetime,
) -> None:
    """References from chunk ``chunks`` on, and copies from row ``rows`` on."""
    if (chunk_urls(array.manifest) != "").any():
        offset = [0] * array.ndim
        offset[axis] = chunks
        _write_references(store, path, array.manifest, offset, checksum)
    for each in array.rows if isinstance(array, MixedArray) else ():
        copy_rows(store, path, each, rows)


def _write_references(
    store: icechunk.IcechunkStore,
    path: str,
    manifest: ChunkManifest,
    offset: list[int],
    checksum: datetime,
) -> None:
    refused = store.set_virtual_refs_arr(
        f"/{path}",
        manifest.shape_chunk_grid,
        chunk_urls(manifest).ravel().tolist(),
        np.ascontiguousarray(chunk_offsets(manifest)).ravel(),
        np.ascontiguousarray(chunk_lengths(manifest)).ravel(),
        arr_offset=tuple(offset) if any(offset) else None,
        checksum=checksum,
    )
    if refused:
        raise ValueError(f"{path}: no container has the references of chunks {refused[:3]}")


def extend(store: icechunk.IcechunkStore, path: str, axis: int, more: int) -> None:
    """Make an array longer along an axis by ``more``, in chunks as it has them, without values."""
    array = zarr.open_array(store, path=path, mode="r+")
    grid: Any = array.metadata.chunk_grid
    shape = list(array.shape)
    is_uneven = isinstance(grid, RectilinearChunkGridMetadata)
    own = grid.chunk_shapes[axis] if is_uneven else grid.chunk_shape[axis]
    chunk = own if isinstance(own, int) else own[0]
    left_over = existing_chunks(store, path, axis, -(-shape[axis] // chunk))
    delete_chunks(store, path, left_over)
    shape[axis] += more
    if is_uneven:
        _set_form(store, path, shape, axis, (chunk,) * -(-shape[axis] // chunk))
    else:
        array.resize(tuple(shape))


def copy_rows(store: icechunk.IcechunkStore, path: str, rows: Rows, start: int) -> None:
    """Write copied rows of a variable that begins at row ``start`` of the array."""
    source = rows.source
    length = 1
    if not isinstance(source, np.ndarray):
        length = manifest_chunk_shape(source.metadata)[rows.axis]
    step = max(READ_AT_ONCE // max(1, rows.row_bytes) // length, 1) * length
    for begin in range(0, rows.count, step):
        values = rows.read(begin, min(step, rows.count - begin))
        _write_rows(store, path, rows.axis, start + rows.start + begin, values)


def _write_rows(
    store: icechunk.IcechunkStore, path: str, axis: int, start: int, values: np.ndarray
) -> None:
    index: list[Any] = [slice(None)] * values.ndim
    index[axis] = slice(start, start + values.shape[axis])
    zarr.open_array(store, path=path, mode="r+")[tuple(index)] = values


def _set_form(
    store: icechunk.IcechunkStore,
    path: str,
    shape: Iterable[int],
    axis: int,
    edges: tuple[int, ...],
) -> None:
    """Give an array another shape, and chunks of ``edges`` along an axis."""
    shape = list(shape)
    stored_grid = zarr.open_array(store, path=path, mode="r").metadata.chunk_grid
    if isinstance(stored_grid, RectilinearChunkGridMetadata):
        sizes = list(stored_grid.chunk_shapes)
    else:  # Icechunk 2.3 reads lists of lengths only, not the one number that stands for a list
        pairs = zip(stored_grid.chunk_shape, shape, strict=True)
        sizes = [(chunk,) * -(-size // chunk) for chunk, size in pairs]
    sizes[axis] = tuple(map(int, edges))
    grid = RectilinearChunkGridMetadata(chunk_shapes=tuple(sizes))

    def change(document: dict[str, Any]) -> None:
        document["chunk_grid"], document["shape"] = grid.to_dict(), shape

    edit_document(store, path, change)


def edit_document(
    store: icechunk.IcechunkStore, path: str, change: Callable[[dict[str, Any]], None]
) -> None:
    """Change the metadata of an array as it is stored.

    Raises
    ------
    KeyError
        If there is no such array.
    """
    key = f"{path}/zarr.json"
    raw = sync(store.get(key, default_buffer_prototype()))
    if raw is None:
        raise KeyError(key)
    document = json.loads(raw.to_bytes())
    change(document)
    sync(store.set(key, cpu.Buffer.from_bytes(json.dumps(document).encode())))


def _recut(
    store: icechunk.IcechunkStore,
    path: str,
    layout: Layout,
    rows: int,
    written: Mapping[str, datetime],
) -> None:
    """Cut the references of a stored array of plain chunks into chunks of ``rows``."""
    array = layout.as_array()
    grid = array.manifest.shape_chunk_grid
    paths = np.full(grid, "", np.dtypes.StringDType())
    offsets, lengths = np.zeros(grid, np.uint64), np.zeros(grid, np.uint64)
    for batch in read_references(store, path):
        index = tuple(batch.index.T.astype(int))
        paths[index] = batch.urls
        offsets[index], lengths[index] = batch.offsets, batch.lengths
    manifest = make_manifest(paths, offsets, lengths)
    if unknown := {str(url) for url in paths.flat} - {"", *written}:
        raise Refused(
            f"{min(unknown)}: its references in {path} have to be cut for files of other lengths, "
            "and it is no source of this repository: build all anew."
        )
    new = cut(ManifestArray(layout.metadata, manifest), layout.axis, rows).manifest
    # What is there and stays is written over.
    there = tuple(slice(0, size) for size in grid)
    for gone in np.argwhere((paths != "") & (chunk_urls(new)[there] == "")).tolist():
        sync(store.delete("/".join([path, "c", *map(str, gone)])))

    def change(document: dict[str, Any]) -> None:
        document["chunk_grid"]["configuration"]["chunk_shape"][layout.axis] = rows

    edit_document(store, path, change)
    specs = [
        icechunk.VirtualChunkSpec(
            index=index,
            location=str(chunk_urls(new)[tuple(index)]),
            offset=int(chunk_offsets(new)[tuple(index)]),
            length=int(chunk_lengths(new)[tuple(index)]),
            last_updated_at_checksum=written[str(chunk_urls(new)[tuple(index)])],
        )
        for index in np.argwhere(chunk_urls(new) != "").tolist()
    ]
    store.set_virtual_refs(f"/{path}", specs, validate_containers=True)
