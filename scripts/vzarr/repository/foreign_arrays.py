"""Arrays that others put into the groups of a store: no source has them; they are left alone."""

from __future__ import annotations

import icechunk
import zarr

from vzarr.combine.store_metadata import GroupInStore, StoreMetadata
from vzarr.upstream.zarr import dimension_names


def with_foreign(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> StoreMetadata:
    """The metadata with the names of arrays that it does not know, as ``foreign`` of their group.

    A group that is gone, or whose arrays are not all known by name, is left as it is.
    """
    groups = dict(metadata["groups"])
    for group, stored_group in groups.items():
        known = {*stored_group["virtual"], *stored_group["loaded"], *stored_group["native"]}
        known |= {*stored_group.get("without_source", ()), *stored_group["dropped"]}
        try:
            names = [name for name, _ in zarr.open_group(store, path=group, mode="r").arrays()]
        except FileNotFoundError:
            continue
        foreign = sorted({*names} - known)
        if foreign or "foreign" in stored_group:
            groups[group] = {**stored_group, "foreign": foreign}
    return {**metadata, "groups": groups}


def lengthen(
    store: icechunk.IcechunkStore, group: str, stored_group: GroupInStore, more: int
) -> None:
    """Let arrays of others along the records be as long as these, with their fill value."""
    dimension = stored_group["concat_dim"]
    for name in stored_group.get("foreign", ()):
        array = zarr.open_group(store, path=group, mode="r+").get(name)
        if not isinstance(array, zarr.Array) or dimension not in dimension_names(array):
            continue
        axis = dimension_names(array).index(dimension)
        rows = array.shape[axis] + more
        array.resize((*array.shape[:axis], rows, *array.shape[axis + 1 :]))
