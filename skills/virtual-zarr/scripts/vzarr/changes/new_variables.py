"""Variables that a store has not yet, made as long as its records, for files of another product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import icechunk
import numpy as np
import xarray as xr

from vzarr.changes.beginning import write_beside
from vzarr.changes.columns import start_of
from vzarr.changes.rewriting import write_references
from vzarr.changes.stored_files import lacks_group, stored_part
from vzarr.combine.groups import describe, stored_groups
from vzarr.combine.missing import missing_values
from vzarr.combine.mixed_array import (
    READERS_NEED,
    MixedArray,
    edges_of,
    empty_array,
    no_references,
)
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata
from vzarr.combine.times import set_time_encoding
from vzarr.errors import Refused
from vzarr.repository.layouts import open_arrays
from vzarr.upstream.virtualizarr import copy_and_replace_metadata, manifest_chunk_shape
from vzarr.virtualize.model import ParsedFile, is_virtual

UNEVEN = ("rectilinear", "copy")
"""The ways of a store in which files of unequal length can be added."""


def with_variables(
    store: icechunk.IcechunkStore,
    location: str,
    metadata: StoreMetadata,
    files: Sequence[ParsedFile],
    checksum: Any,
) -> StoreMetadata:
    """Make the variables that files have and a store has not, as long as its records; returns the
    metadata with them.

    Where files fill no regular grid of chunks they are made as the store's other variables are: of
    unequal chunks, or of copies.

    Raises
    ------
    Refused
        For one that cannot be missing at records without a file.
    """
    groups = dict(metadata["groups"])
    for group, stored_group in stored_groups(metadata).items():
        dimension = stored_group["concat_dim"]
        if dimension is None:
            continue
        parts = [stored_part(f, group, stored_group) for f in files if not lacks_group(f, group)]
        arrays = open_arrays(store, group)
        rows = sum(stored_group["lengths"])
        is_whole = sum(part.dataset.sizes.get(dimension, 0) for part in parts) == rows
        owners: dict[str, ParsedFile] = {}
        for part in parts:
            for name in map(str, part.dataset.variables):
                if name not in arrays:
                    owners.setdefault(name, part)
        if not owners:
            continue
        starts = _starts(store, location, parts, group, stored_group)
        ways = _ways({*owners}, dimension, starts, rows, metadata, stored_group)
        new: dict[str, xr.Variable] = {}
        for name, part in owners.items():
            new[name] = _empty(part, name, dimension, rows, is_whole)
            if name in ways and ways[name]["kind"] == "rectilinear":
                new[name] = _of_edges(new[name], name, dimension, starts, stored_group)
        coordinates = [name for name in new if name in owners[name].dataset.coords]
        dataset = xr.Dataset(coords=xr.Coordinates({}, indexes={})).assign(new)
        dataset = dataset.set_coords(coordinates)
        set_time_encoding(dataset, dimension)
        write_beside(store, group, dataset, checksum)
        for name, part in owners.items():
            if dimension not in new[name].dims and is_virtual(new[name]):
                write_references(store, part, name, [0] * new[name].ndim, checksum)
        each = [describe([owner], "", dimension) for owner in owners.values()]
        described = _with_names(groups[group], each, {*new})
        if ways:
            described["ways"] = {**described.get("ways", {}), **ways}
        groups[group] = described
    return {**metadata, "groups": groups}


def _empty(part: ParsedFile, name: str, dimension: str, rows: int, is_whole: bool) -> xr.Variable:
    """A variable without values, as long as the records; what is stored once, as it is."""
    variable = part.dataset[name].variable
    sizes = {dimension: rows}
    if dimension not in variable.dims:
        if not is_virtual(variable):
            return variable
        return xr.Variable(variable.dims, empty_array(variable.data.metadata), variable.attrs)
    missing = missing_values(variable, part.packing.get(name, {}), sizes)
    if missing is not None:
        return missing
    if not is_whole:
        raise Refused(
            f"{part.source.url}: {name} cannot be missing at the other records of the store: no "
            "value stands for that. Nothing was committed: name files for all of its records, or "
            f"leave it out with --drop {name}."
        )
    shape = [sizes.get(str(d), n) for d, n in zip(variable.dims, variable.shape, strict=True)]
    if is_virtual(variable):
        array = copy_and_replace_metadata(variable.data.metadata, new_shape=shape)
        return xr.Variable(variable.dims, empty_array(array), variable.attrs)
    values = np.resize(variable.values, shape)  # each is written over
    return xr.Variable(variable.dims, values, variable.attrs, variable.encoding)


def _with_names(record: GroupRecord, each: list[GroupRecord], names: set[str]) -> GroupRecord:
    virtual = {name for one in each for name in one["virtual"]} & names
    native = {name: why for one in each for name, why in one["native"].items() if name in names}
    return {
        **record,
        "virtual": sorted({*record["virtual"], *virtual}),
        "loaded": sorted({*record["loaded"], *(names - virtual - native.keys())}),
        "native": {**record["native"], **native},
    }


def _starts(
    store: icechunk.IcechunkStore,
    location: str,
    parts: Sequence[ParsedFile],
    group: str,
    stored_group: GroupInStore,
) -> list[tuple[int, ParsedFile]]:
    """Parts of files in their order, each with the record at which it begins."""
    pairs = [(start_of(store, location, part, group, stored_group), part) for part in parts]
    return sorted(pairs, key=lambda pair: pair[0])


def _ways(
    names: set[str],
    dimension: str,
    starts: Sequence[tuple[int, ParsedFile]],
    rows: int,
    metadata: StoreMetadata,
    stored_group: GroupInStore,
) -> dict[str, dict[str, Any]]:
    """The ways of new variables whose files fill no regular grid: as build was told.

    Those of files to come will not, where those of other variables do not.
    """
    kind = metadata.get("irregular")
    if kind not in UNEVEN:
        return {}
    is_uneven = any(way["kind"] == kind for way in stored_group.get("ways", {}).values())
    ways = {}
    for name in sorted(names):
        arrays = [
            (start, part.dataset[name].variable)
            for start, part in starts
            if name in part.dataset.variables
        ]
        if not all(is_virtual(v) and dimension in v.dims for _, v in arrays):
            continue
        if is_uneven or not _fill_a_grid(arrays, dimension, rows):
            readers = {"readers": READERS_NEED} if kind == "rectilinear" else {}
            why = f"as the other variables along {dimension}"
            ways[name] = {"kind": kind, "why": why, "virtual": 0, "native": 0, **readers}
    return ways


def _fill_a_grid(arrays: Sequence[tuple[int, xr.Variable]], dimension: str, rows: int) -> bool:
    chunks = set()
    for start, variable in arrays:
        axis = variable.dims.index(dimension)
        chunk, stop = (
            manifest_chunk_shape(variable.data.metadata)[axis],
            start + variable.shape[axis],
        )
        chunks.add(chunk)
        if start % chunk or (stop % chunk and stop != rows):
            return False
    return len(chunks) == 1


def _of_edges(
    variable: xr.Variable,
    name: str,
    dimension: str,
    starts: Sequence[tuple[int, ParsedFile]],
    stored_group: GroupInStore,
) -> xr.Variable:
    """A variable without values, in chunks as its files have them, or one for a source without."""
    axis = variable.dims.index(dimension)
    rows = variable.shape[axis]
    own = {start: part for start, part in starts if name in part.dataset.variables}
    borders = {*np.cumsum([0, *stored_group["lengths"]]).tolist(), *own}
    edges: list[int] = []
    row = 0
    while row < rows:
        if row not in own:
            stop = min(border for border in borders if border > row)
            edges.append(stop - row)
        else:
            data = own[row].dataset[name].variable.data
            stop, chunk = row + data.shape[axis], manifest_chunk_shape(data.metadata)[axis]
            edges += edges_of(stop - row, chunk)
            if stop == rows:
                edges[-1] = chunk  # a reader cuts it where the array ends
        row = stop
    inner = zip(variable.shape, manifest_chunk_shape(variable.data.metadata), strict=True)
    grid = [-(-size // chunk) for size, chunk in inner]
    grid[axis] = len(edges)
    array = MixedArray(variable.data.metadata, no_references(grid), axis, edges)
    return xr.Variable(variable.dims, array, variable.attrs)
