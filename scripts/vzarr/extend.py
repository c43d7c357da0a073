"""More files behind those that a store holds."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import icechunk
import xarray as xr
import zarr

from vzarr.combine import common_attributes
from vzarr.parse import CF_ENCODING, is_virtual
from vzarr.verify import open_store


def extend_store(
    store: icechunk.IcechunkStore,
    datasets: dict[str, xr.Dataset],
    growing: Iterable[str],
    dimension: str,
    last_updated_at: datetime,
) -> int:
    """Write what grows along ``dimension`` behind what is there; returns the number of references.

    ``datasets`` by group; ``growing`` names the groups with something to write.
    """
    references = 0
    for group in growing:
        dataset = datasets[group]
        static = [name for name, v in dataset.variables.items() if dimension not in v.dims]
        more = dataset.drop_vars(static)
        held = open_store(store, group)
        more.attrs = common_attributes([dict(held.attrs), dict(dataset.attrs)])
        gone = held.attrs.keys() - more.attrs.keys()
        room = zarr.open_group(store, path=group, mode="r+")
        coordinates = room.attrs.get("coordinates")
        if gone:
            room.attrs.put({key: value for key, value in room.attrs.items() if key not in gone})
        for variable in more.variables.values():
            if not is_virtual(variable):
                variable.encoding = {}  # the store's own holds for all of an array
            variable.attrs = dict(variable.attrs)
        references += int(more.vz.nrefs())
        _drop_what_differs(room, more)
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
        room = zarr.open_group(store, path=group, mode="r+")
        if coordinates is not None and room.attrs.get("coordinates") != coordinates:
            room.attrs["coordinates"] = coordinates
    return references


def _drop_what_differs(room: zarr.Group, dataset: xr.Dataset) -> None:
    """An array keeps those attributes only that all its files share, as in one combined at once."""
    for name, variable in dataset.variables.items():
        held: dict[str, Any] = dict(room[str(name)].attrs)
        other = {
            key
            for key, value in variable.attrs.items()
            if key in held and key not in CF_ENCODING and not _same(held[key], value)
        }
        if other:
            room[str(name)].attrs.put({k: v for k, v in held.items() if k not in other})
            variable.attrs = {k: v for k, v in variable.attrs.items() if k not in other}


def _same(left: Any, right: Any) -> bool:
    shared = common_attributes([{"key": left}, {"key": right}])
    return "key" in shared
