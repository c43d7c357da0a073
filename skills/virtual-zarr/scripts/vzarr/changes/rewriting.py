"""Write references and values of one file over those that a store holds."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.combine.mixed_array import MixedArray
from vzarr.combine.store_metadata import GroupInStore, StoreMetadata, span_of
from vzarr.repository.layouts import layout_of
from vzarr.repository.mixed_arrays import copy_rows
from vzarr.repository.references import read_references
from vzarr.sources.discover import SourceRecord
from vzarr.sources.prefixes import new_prefixes
from vzarr.sources.schemes import Access, scheme_of
from vzarr.upstream.virtualizarr import (
    chunk_lengths,
    chunk_offsets,
    chunk_urls,
    count_references,
    manifest_chunk_shape,
)
from vzarr.upstream.zarr import sync
from vzarr.virtualize.model import ParsedFile, is_virtual


def with_sources(metadata: StoreMetadata, records: dict[int, SourceRecord]) -> StoreMetadata:
    """The metadata with other records of some sources, by number.

    A source whose place another file took goes to ``replaced``, and one that came back leaves it.
    """
    sources = list(metadata["sources"])
    replaced = list(metadata["replaced"])
    for number, record in records.items():
        was = sources[number]
        if was["url"] != record["url"] and was["fingerprint"] != record["fingerprint"]:
            replaced.append({**was, "by": record["url"]})
        said: dict[str, Any] = dict(was)
        kept_keys = ("variables", "covers", "within")
        place: Any = {key: said[key] for key in kept_keys if key in said}
        sources[number] = {**record, **place}
    known = {record["url"] for record in sources}
    replaced = [record for record in replaced if record["url"] not in known]
    return {**metadata, "sources": sources, "replaced": replaced}


def with_containers(
    config: icechunk.RepositoryConfig,
    urls: list[str],
    access: Access,
    patterns: Sequence[str] = (),
    chosen: Sequence[str] = (),
) -> icechunk.RepositoryConfig:
    """The configuration with a container for each place that none covers yet.

    ``patterns`` and ``chosen`` as in ``vzarr.sources.prefixes.container_prefixes``.
    """
    prefixes = list(config.virtual_chunk_containers or {})
    for prefix in new_prefixes(prefixes, urls, patterns, chosen):
        store = scheme_of(prefix).container_store(prefix, access)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    return config


def write_part(
    store: icechunk.IcechunkStore,
    part: ParsedFile,
    metadata: GroupInStore,
    number: int,
    checksum: datetime,
) -> int:
    """Write what belongs to one file: its references, and its part of what is kept as numbers."""
    dimension = metadata["concat_dim"]
    start = span_of(metadata, number).start
    within = metadata["sources"][number].get("within")
    count = 0
    for name in part.virtual:
        variable = part.dataset[name].variable
        if dimension not in variable.dims:
            continue
        path = f"{part.group}/{name}".lstrip("/")
        layout = layout_of(zarr.open_array(store, path=path, mode="r"), str(dimension))
        at = [0] * variable.ndim
        at[layout.axis] = layout.chunk_at(start)
        if within and within[0] in variable.dims:
            axis = variable.dims.index(within[0])
            at[axis] = within[1] // manifest_chunk_shape(layout.metadata)[axis]
        mixed = variable.data if isinstance(variable.data, MixedArray) else None
        if mixed is None or not mixed.is_regular:
            count += write_references(store, part, name, at, checksum)
        for rows in mixed.rows if mixed else ():
            copy_rows(store, path, rows, start)
    count += write_static(store, part, metadata, number, checksum)
    write_values(store, part, metadata, start, within)
    return count


def write_static(
    store: icechunk.IcechunkStore,
    part: ParsedFile,
    metadata: GroupInStore,
    number: int,
    checksum: datetime,
) -> int:
    """Write the references of what is stored once, if they lead to this file; returns how many."""
    dimension = metadata["concat_dim"]
    old = {metadata["sources"][number]["url"], part.data_url or part.source.url}
    count = 0
    for name in part.virtual:
        variable = part.dataset[name].variable
        path = f"{part.group}/{name}".lstrip("/")
        if dimension not in variable.dims and leads_to(store, path, old):
            count += write_references(store, part, name, [0] * variable.ndim, checksum)
    return count


def write_references(
    store: icechunk.IcechunkStore, part: ParsedFile, name: str, at: list[int], checksum: datetime
) -> int:
    """Write a variable's references from chunk ``at`` on, in place of what is there."""
    path = f"{part.group}/{name}".lstrip("/")
    manifest = part.dataset[name].variable.data.manifest
    _forget(store, path, manifest.shape_chunk_grid, at)
    store.set_virtual_refs_arr(
        f"/{path}",
        manifest.shape_chunk_grid,
        chunk_urls(manifest).ravel().tolist(),
        chunk_offsets(manifest).ravel(),
        chunk_lengths(manifest).ravel(),
        arr_offset=tuple(at) if any(at) else None,
        checksum=checksum,
    )
    return count_references(manifest)


def leads_to(store: icechunk.IcechunkStore, path: str, urls: set[str]) -> bool:
    """Whether an array has a reference to one of the URLs."""
    return any(urls & set(batch.urls) for batch in read_references(store, path))


def _forget(
    store: icechunk.IcechunkStore, path: str, grid: tuple[int, ...], offset: list[int]
) -> None:
    """Delete the references of a region: the new file may have fewer."""
    low, high = np.array(offset), np.array(offset) + np.array(grid, dtype=int)
    for batch in list(read_references(store, path)):
        inside = ((batch.index >= low) & (batch.index < high)).all(axis=1)
        for index in batch.index[inside].tolist():
            sync(store.delete("/".join([path, "c", *map(str, index)])))


def write_values(
    store: icechunk.IcechunkStore,
    part: ParsedFile,
    metadata: GroupInStore,
    start: int | None,
    within: Sequence[Any] | None = None,
) -> None:
    """Write what is kept as numbers: the part from ``start`` on, or what has no such dimension.

    ``within``: a second dimension, and where the file begins and ends along it.
    """
    dimension = metadata["concat_dim"]
    names = [
        name
        for name, variable in part.dataset.variables.items()
        if not is_virtual(variable) and (dimension in variable.dims) == (start is not None)
    ]
    if not names:
        return
    values = xr.Dataset({name: part.dataset[name].variable for name in names})
    region: dict[str, slice] = {}
    if start is not None:
        region[str(dimension)] = slice(start, start + values.sizes[str(dimension)])
        if within and within[0] in values.dims:
            region[within[0]] = slice(*within[1:])
    write_region(store, part.group, values, region)


def write_region(
    store: icechunk.IcechunkStore, group: str, values: xr.Dataset, region: dict[str, slice]
) -> None:
    """Write numbers into a part of the arrays of a group, in the encoding that these have."""
    if not values.variables:
        return
    values = values.drop_attrs().drop_encoding()
    values = values.drop_indexes(list(values.xindexes))  # xarray leaves indexes out of a region
    options: dict[str, Any] = {"group": group or None, "mode": "r+", "consolidated": False}
    if region:
        options["region"] = region
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values.to_zarr(store, **options)
