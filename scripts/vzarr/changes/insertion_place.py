"""Where a file that arrives late belongs among the sources of a store."""

from __future__ import annotations

from dataclasses import dataclass

import icechunk
import numpy as np
import pandas as pd

from vzarr.changes.stored_files import stored_part
from vzarr.combine.file_steps import blocks_of
from vzarr.combine.groups import stored_groups
from vzarr.combine.shown import show
from vzarr.combine.store_metadata import GroupInStore, StoreMetadata
from vzarr.errors import Refused
from vzarr.verification.open import open_store
from vzarr.virtualize.model import ParsedFile


@dataclass(frozen=True)
class Records:
    """The record coordinate of a stored group, and the steps at which its sources begin.

    ``units`` where it is not decoded.
    """

    index: pd.Index
    units: object
    starts: np.ndarray
    group: GroupInStore


def stored_records(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> dict[str, Records]:
    """By group, of those that have a record coordinate with values."""
    records = {}
    for group, stored_group in stored_groups(metadata).items():
        dataset, dimension = open_store(store, group), stored_group["concat_dim"]
        index = dataset.indexes.get(dimension)
        if index is not None and len(index):
            starts = np.cumsum([0, *stored_group["lengths"]])
            units = dataset[dimension].attrs.get("units")
            records[group] = Records(index, units, starts, stored_group)
    return records


def is_late(file: ParsedFile, records: dict[str, Records]) -> bool:
    """Whether a file has no record that is later than all that are stored.

    One that overlaps the last records is not: it may be cut.
    """
    return any(_is_late_in(file, group, stored) for group, stored in records.items())


def _is_late_in(file: ParsedFile, group: str, stored: Records) -> bool:
    own = _own_index(file, group, stored)
    if own is None or not len(own):
        return False
    try:
        return bool(max(own[0], own[-1]) <= stored.index[-1])
    except TypeError:  # dates of two calendars: comparing the file says so
        return False


def why_late(file: ParsedFile, records: dict[str, Records], location: str) -> str:
    """The sentence for a late file that is not to be inserted.

    Raises
    ------
    ValueError
        If it is not late.
    """
    for group, stored in records.items():
        if _is_late_in(file, group, stored):
            own, dimension = _own_index(file, group, stored), stored.group["concat_dim"]
            advice = place_problem(file, records) or (
                "It belongs in front of records that are there: put it there with --insert."
            )
            assert own is not None
            return (
                f"{file.source.url}: {dimension}: the first value is {own[0]}, but has to be later "
                f"than {stored.index[-1]}, the last in {location}. {advice}"
            )
    raise ValueError(f"{file.source.url} is not late")


def place_problem(file: ParsedFile, records: dict[str, Records]) -> str:
    """Why no place among the sources is right for a late file, or an empty string."""
    for group, stored in records.items():
        own = _own_index(file, group, stored)
        if own is None or not len(own):
            continue
        if not (own.is_monotonic_increasing and own.is_unique):
            return "Its own values do not increase strictly, so nothing can be selected by them."
        at, end = (int(stored.index.searchsorted(own[n], side)) for n, side in ENDS)
        if at != end:
            url, value = _owner(stored, at), show(stored.index[at])
            return (
                f"It overlaps {url}, which has {value}: leave one of them out, or remove that one "
                "first."
            )
        if at < len(stored.index) and at not in stored.starts:
            return (
                f"It belongs between records of {_owner(stored, at)}, which is one file: build all "
                "anew from files that do not overlap."
            )
    return ""


ENDS = ((0, "left"), (-1, "right"))
"""Both ends of a file's values, and on which side of equal ones each would stand."""


def _own_index(file: ParsedFile, group: str, stored: Records) -> pd.Index | None:
    try:
        dataset = stored_part(file, group, stored.group).dataset
    except Refused:  # it has not got the group: comparing it says so
        return None
    dimension = stored.group["concat_dim"]
    if dimension not in dataset.indexes or dataset[dimension].attrs.get("units") != stored.units:
        return None  # numbers since another moment cannot be compared: comparing the files says so
    return dataset.indexes[dimension]


def _owner(stored: Records, row: int) -> str:
    number = int(np.searchsorted(stored.starts, row, "right")) - 1
    return stored.group["sources"][min(number, len(stored.group["sources"]) - 1)]["url"]


def order_by_records(records: dict[str, Records], metadata: StoreMetadata) -> list[int]:
    """The numbers of all sources in the order of their records."""
    blocks = blocks_of(metadata["sources"])
    for stored in records.values():
        lengths = stored.group["lengths"]
        if all(lengths[block[0]] for block in blocks):
            blocks.sort(key=lambda block: stored.index[stored.starts[block[0]]])
            break
    return [number for block in blocks for number in block]
