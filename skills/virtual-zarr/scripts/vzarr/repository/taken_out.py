"""What others took out of a store with Icechunk itself, as a window that moves: by its records.

The ledger is of the tool's last commit. The records of that commit tell which of its sources are in
the store still, and where; whether it reads as they do is for ``verification`` to say.
"""

from __future__ import annotations

from typing import Any

import icechunk
import numpy as np
import zarr

from vzarr.combine.file_steps import blocks_of
from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata, span_of
from vzarr.upstream.zarr import dimension_names


def with_records_of(
    metadata: StoreMetadata, before: icechunk.IcechunkStore, now: icechunk.IcechunkStore
) -> StoreMetadata | None:
    """The ledger of a store as it was ``before``, without the sources that are not in it ``now``.

    None if all are, and if records do not tell it: one that no source has, or a part of a file.
    """
    blocks = blocks_of(metadata["sources"])
    there: set[int] = set()
    gone: set[int] = set()
    for group, stored_group in stored_groups(metadata).items():
        if stored_group["concat_dim"] is None:
            continue
        old, new = (_records(store, group, stored_group) for store in (before, now))
        if old is None or new is None or len(old) != sum(stored_group["lengths"]):
            return None
        firsts = [block[0] for block in blocks if stored_group["lengths"][block[0]]]
        stay = _that_stay(old, new, stored_group, firsts)
        if stay is None:
            return None
        there |= stay
        gone |= {*firsts} - stay
    if not gone or gone & there:
        return None
    numbers = [number for block in blocks if block[0] not in gone for number in block]
    groups: dict[str, GroupRecord] = {
        path: {**group_record, "lengths": [group_record["lengths"][n] for n in numbers]}
        for path, group_record in metadata["groups"].items()
    }
    out = [metadata["sources"][number] for block in blocks if block[0] in gone for number in block]
    return {
        **metadata,
        "sources": [metadata["sources"][number] for number in numbers],
        "groups": groups,
        "removed": [*metadata.get("removed", []), *out],
        "since_removal": True,
    }


def _records(
    store: icechunk.IcechunkStore, group: str, stored_group: GroupInStore
) -> tuple[Any, ...] | None:
    """The numbers of the record coordinate; None where not all arrays are as long."""
    dimension = str(stored_group["concat_dim"])
    try:
        arrays = dict(zarr.open_group(store, path=group, mode="r").arrays())
    except FileNotFoundError:
        return None
    coordinate = arrays.get(dimension)
    if coordinate is None or dimension_names(coordinate) != (dimension,):
        return None
    for array in arrays.values():
        names = dimension_names(array)
        if dimension in names and array.shape[names.index(dimension)] != coordinate.shape[0]:
            return None
    units = coordinate.attrs.get("units")
    return tuple((units, value) for value in np.asarray(coordinate[:]).tolist())


def _that_stay(
    old: tuple[Any, ...], new: tuple[Any, ...], stored_group: GroupInStore, firsts: list[int]
) -> set[int] | None:
    """The blocks, by their first sources, of which all records are there.

    None unless these, in their old order, are all that is there.
    """
    stay: set[int] = set()
    at = 0
    for first in firsts:
        mine = old[span_of(stored_group, first)]
        if new[at : at + len(mine)] == mine:
            stay.add(first)
            at += len(mine)
        elif {*mine} & {*new}:
            return None
    return stay if at == len(new) else None
