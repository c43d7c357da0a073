"""How the arrays of a store lie along the dimension that files continue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import icechunk
import numpy as np
import zarr

from vzarr.combine.plan import Layout, why_uneven
from vzarr.combine.raw_packing import needed
from vzarr.combine.store_metadata import GroupInStore
from vzarr.upstream.zarr import (
    JSON,
    ArrayV3Metadata,
    RectilinearChunkGridMetadata,
    RegularChunkGridMetadata,
    dimension_names,
)


def layout_of(array: zarr.Array, dimension: str, is_copy: bool = False) -> Layout:
    """How a stored array lies along ``dimension``."""
    metadata = array.metadata
    axis = dimension_names(array).index(dimension)
    document = {**metadata.to_dict(), "attributes": {}}
    document.pop("dimension_names", None)
    edges: tuple[int, ...] | None = None
    if isinstance(metadata.chunk_grid, RectilinearChunkGridMetadata):
        shapes = metadata.chunk_grid.chunk_shapes
        own = shapes[axis]
        every = (own,) * -(-array.shape[axis] // own) if isinstance(own, int) else tuple(own)
        begins = np.cumsum([0, *every[:-1]])  # chunks of rows that were taken out stay in the list
        edges = every[: max(1, int(np.searchsorted(begins, array.shape[axis])))]
        chunk = [max(edges) if at == axis else _one(size) for at, size in enumerate(shapes)]
        document["chunk_grid"] = cast(
            "dict[str, JSON]", RegularChunkGridMetadata(chunk_shape=tuple(chunk)).to_dict()
        )
    regular = ArrayV3Metadata.from_dict(document)
    return Layout(regular, axis, array.shape[axis], edges, is_copy)


def _one(size: int | Sequence[int]) -> int:
    return size if isinstance(size, int) else size[0]


def stored_layouts(
    store: icechunk.IcechunkStore, group: str, stored_group: GroupInStore
) -> dict[str, Layout]:
    """The virtual variables of a stored group that grow."""
    dimension = stored_group["concat_dim"]
    if dimension is None:
        return {}
    arrays = open_arrays(store, group)
    ways = stored_group.get("ways", {})
    return {
        name: layout_of(
            arrays[name], dimension, ways.get(name, {}).get("kind") in ("copy", "decode")
        )
        for name in stored_group["virtual"]
        if name in arrays and dimension in dimension_names(arrays[name])
    }


def open_arrays(store: icechunk.IcechunkStore, group: str) -> dict[str, zarr.Array]:
    """The arrays of a stored group, by name."""
    return dict(zarr.open_group(store, path=group, mode="r").arrays())


def all_layouts(
    store: icechunk.IcechunkStore, groups: Mapping[str, GroupInStore]
) -> dict[str, Layout]:
    """``stored_layouts`` of several groups, by path."""
    return {
        f"{group}/{name}".lstrip("/"): layout
        for group, stored_group in groups.items()
        for name, layout in stored_layouts(store, group, stored_group).items()
    }


def grown_numbers(store: icechunk.IcechunkStore, groups: Mapping[str, GroupInStore]) -> list[str]:
    """The paths of numbers that a store has for each record."""
    numbers = []
    for group, stored_group in groups.items():
        for name, array in open_arrays(store, group).items():
            grows = dimension_names(array) == (stored_group["concat_dim"],)
            if grows and name not in stored_group["virtual"]:
                numbers.append(f"{group}/{name}".lstrip("/"))
    return numbers


def told_ways(
    stored_group: GroupInStore, arrays: Mapping[str, zarr.Array]
) -> dict[str, dict[str, Any]]:
    """The ways of a stored group by variable, of all of its files.

    The ledger adds up what was copied; the rest of each of the ``arrays`` is virtual.
    """
    ways = {}
    for name, way in stored_group.get("ways", {}).items():
        dimension = str(stored_group["concat_dim"])
        layout = layout_of(arrays[name], dimension)
        total = math.prod(arrays[name].shape) * arrays[name].dtype.itemsize
        chunks = layout.edges or (layout.chunk,)
        why, _, forms = way["why"].partition("; ")
        if way["kind"] != "partly":
            lengths = [length for length in stored_group["lengths"] if length]
            uneven = why_uneven(lengths, chunks, dimension)
            why = f"{uneven}; {forms}" if forms else uneven
        ways[name] = {**way, "virtual": max(0, total - way["native"]), "why": why}
    for name in stored_group.get("raw", ()):
        total = math.prod(arrays[name].shape) * arrays[name].dtype.itemsize
        why = "each file packs it otherwise"
        known = ways.get(name, {"kind": "raw", "why": why, "virtual": total, "native": 0})
        readers = [*([known["readers"]] if "readers" in known else []), needed(name)]
        ways[name] = {**known, "readers": "; ".join(readers)}
    return ways
