"""Chunks that are plain numbers, one row after the other: they can be cut anywhere between rows."""

from __future__ import annotations

import math

import numpy as np
from virtualizarr.manifests import ManifestArray

from vzarr.limits import READS_WELL, rows_that_divide
from vzarr.upstream.virtualizarr import (
    chunk_lengths,
    chunk_offsets,
    chunk_urls,
    copy_and_replace_metadata,
    holds_inlined,
    make_manifest,
    manifest_chunk_shape,
)


def read_well(array: ManifestArray) -> ManifestArray:
    """An array whose plain chunks are cut, where they are long, into some that are quick to read.

    A contiguous variable is one chunk, however large, and a reader of one value reads all of it.
    """
    for axis, size in enumerate(manifest_chunk_shape(array.metadata)):
        row = math.prod(manifest_chunk_shape(array.metadata)) // size * array.dtype.itemsize
        if row * size <= READS_WELL or not is_plain(array, axis):
            break
        if array.shape[axis] % size:
            break  # a short end would have to be divided, too
        rows = rows_that_divide(size, row)
        if rows == size and size > 1:
            break
        array = cut(array, axis, rows)
        if rows > 1:
            break
    return array


def is_plain(array: ManifestArray, axis: int) -> bool:
    """Whether each chunk is its numbers, one row along ``axis`` after the other, and no more."""
    metadata = array.metadata
    names = [codec.to_dict()["name"] for codec in metadata.codecs]
    chunk = manifest_chunk_shape(metadata)
    if names != ["bytes"] or math.prod(chunk[:axis]) != 1 or holds_inlined(array.manifest):
        return False
    whole = math.prod(chunk) * array.dtype.itemsize
    lengths = chunk_lengths(array.manifest)
    return bool(((lengths == whole) | (lengths == 0)).all())


def cut(array: ManifestArray, axis: int, rows: int) -> ManifestArray:
    """An array of plain chunks in chunks of ``rows``, which has to divide them and what is left."""
    metadata, manifest = array.metadata, array.manifest
    chunk, length = manifest_chunk_shape(metadata), array.shape[axis]
    if chunk[axis] == rows:
        return array
    parts = chunk[axis] // rows
    size = math.prod(chunk[axis + 1 :]) * array.dtype.itemsize * rows
    paths, offsets, lengths = (
        np.repeat(part, parts, axis=axis)
        for part in (chunk_urls(manifest), chunk_offsets(manifest), chunk_lengths(manifest))
    )
    shape = [1] * array.ndim
    shape[axis] = -1
    steps = np.tile(np.arange(parts, dtype=np.uint64), chunk_urls(manifest).shape[axis]).reshape(
        shape
    )
    is_there = lengths > 0
    offsets = np.where(is_there, offsets + steps * np.uint64(size), np.uint64(0))
    lengths = np.where(is_there, np.uint64(size), np.uint64(0))
    region = (slice(None),) * axis + (slice(0, -(-length // rows)),)
    new = (*chunk[:axis], rows, *chunk[axis + 1 :])
    return ManifestArray(
        copy_and_replace_metadata(metadata, new_chunks=list(new)),
        make_manifest(paths[region], offsets[region], lengths[region]),
    )
