"""More files behind those that a store holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.combine.mixed_array import count_references
from vzarr.combine.shared_attributes import drop_contradicted, shared_with
from vzarr.combine.times import TIME_CHUNK
from vzarr.repository.mixed_arrays import grow, needs_care
from vzarr.sources.discover import changes_of
from vzarr.upstream.zarr import array_at, dimension_names
from vzarr.virtualize.model import ParsedFile, is_virtual, part_of


def _repeat_scalars(stored: zarr.Group, more: xr.Dataset, dimension: str) -> None:
    """Store scalars, of which ``more`` has one for each record, once for each that is there."""
    arrays = {name: array for name, array in stored.arrays() if name in more.variables}
    rows = [
        array.shape[names.index(dimension)]
        for array in arrays.values()
        if dimension in (names := dimension_names(array))
    ]
    for name, array in arrays.items():
        if array.ndim or more[name].dims != (dimension,):
            continue
        value = array[()]
        grown = stored.create_array(
            name,
            shape=(rows[0],),
            chunks=(TIME_CHUNK,),
            dtype=array.metadata.dtype if array.dtype.kind != "T" else str,
            fill_value=array.fill_value,
            attributes=dict(array.attrs),
            dimension_names=(dimension,),
            overwrite=True,
        )
        grown[:] = np.broadcast_to(np.asarray(value), (rows[0],))


def append_datasets(
    store: icechunk.IcechunkStore,
    datasets: dict[str, xr.Dataset],
    growing: Iterable[str],
    dimension: str,
    last_updated_at: datetime,
    files: list[ParsedFile],
    records: Iterable[Mapping[str, Any]] = (),
) -> int:
    """Write what grows along ``dimension`` behind what is there; returns the number of references.

    ``datasets`` by group, of ``files``; ``growing`` names the groups with something to write.
    ``records`` of the files that are there.
    """
    references = 0
    written = changes_of(records)
    for group in datasets:
        drop_contradicted(store, group, [part_of(file, group).dataset for file in files])
    for group in growing:
        dataset = datasets[group]
        if dataset.sizes.get(dimension) == 0:
            continue
        static = [name for name, v in dataset.variables.items() if dimension not in v.dims]
        more = dataset.drop_vars(static).copy(deep=False)  # the files keep what they say
        stored = zarr.open_group(store, path=group, mode="r+")
        coordinates = stored.attrs.get("coordinates")
        _repeat_scalars(stored, more, dimension)
        more.attrs = shared_with(stored, more.attrs)
        for name, variable in more.variables.items():
            if not is_virtual(variable):
                variable.encoding = {}  # the store's own holds for all of an array
            variable.attrs = shared_with(stored[str(name)], variable.attrs)
        virtual = [variable for variable in more.variables.values() if is_virtual(variable)]
        references += sum(count_references(variable.data) for variable in virtual)
        with_care = [
            str(name)
            for name, variable in more.variables.items()
            if is_virtual(variable) and needs_care(array_at(stored, str(name)), variable.data)
        ]
        for name in with_care:
            path = f"{group}/{name}".lstrip("/")
            grow(store, path, more[name].data, dimension, last_updated_at, written)
        more = more.drop_vars(with_care)
        if not any(dimension in variable.dims for variable in more.variables.values()):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            more.vz.to_icechunk(
                store,
                group=group or None,
                append_dim=dimension,
                last_updated_at=last_updated_at,
            )
        # The append has named the coordinates among its own variables only; the static ones and
        # scalars would be data from then on.
        stored = zarr.open_group(store, path=group, mode="r+")
        if coordinates is not None and stored.attrs.get("coordinates") != coordinates:
            stored.attrs["coordinates"] = coordinates
    return references
