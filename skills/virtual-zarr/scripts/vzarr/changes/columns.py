"""Files of another product whose records a store has: their variables stand beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import icechunk
import numpy as np
import pandas as pd

from vzarr.changes.append_fitting import other_values, static_values
from vzarr.changes.places import with_places
from vzarr.changes.stored_files import lacks_group, stored_part
from vzarr.combine.file_steps import is_gap
from vzarr.combine.groups import stored_groups
from vzarr.combine.merge import names_of
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata, span_of
from vzarr.errors import Refused
from vzarr.repository.layouts import stored_layouts
from vzarr.repository.rearranging import borders_of
from vzarr.sources.discover import SourceRecord
from vzarr.sources.schemes import Access
from vzarr.text import option, shell_word
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.verification.open import open_store
from vzarr.virtualize.equality import mismatch, tolerance
from vzarr.virtualize.model import ParsedFile, is_virtual

TOGETHER = "Nothing was committed: build the files of both together"
OTHER_GRID = (
    "Nothing was committed: variables of a group share its coordinates, so build such files into a "
    "store of their own"
)


def own_variables(file: ParsedFile, metadata: StoreMetadata) -> set[str]:
    """The paths of a file's data that lie along the records: what tells its product from others."""
    names = set()
    for group, stored_group in stored_groups(metadata).items():
        if lacks_group(file, group):
            continue
        dataset = stored_part(file, group, stored_group).dataset
        names |= {
            f"{group}/{name}".lstrip("/")
            for name in dataset.data_vars
            if stored_group["concat_dim"] in dataset[name].dims
            and is_virtual(dataset[name].variable)
        }
    return names


def stored_variables(metadata: StoreMetadata) -> set[str]:
    """The paths of all variables of a store."""
    return {
        f"{group}/{name}".lstrip("/")
        for group, each in metadata["groups"].items()
        for name in (*each["virtual"], *each["loaded"], *each["native"])
    }


def variables_of(record: SourceRecord, metadata: StoreMetadata) -> set[str]:
    """What a source has of a store; nothing, where it was removed and left a gap."""
    if is_gap(record):
        return set()
    names = set(record["variables"]) if "variables" in record else stored_variables(metadata)
    return names - {*record.get("lacks", ())}


def is_free(file: ParsedFile, numbers: Sequence[int], metadata: StoreMetadata) -> bool:
    """Whether the store has no values of a file's data at the records of some sources."""
    mine = own_variables(file, metadata)
    if all(is_gap(metadata["sources"][number]) for number in numbers):
        return False  # taken as a new one of its place
    theirs = [variables_of(metadata["sources"][number], metadata) for number in numbers]
    return bool(mine) and mine.isdisjoint(set().union(*theirs))


def not_in_store(file: ParsedFile, metadata: StoreMetadata, location: str) -> str:
    """A sentence for a file of data that a store has not got at all; empty of another."""
    more = sorted(own_variables(file, metadata) - stored_variables(metadata))
    if not more:
        return ""
    there = f"{shell_word(file.source.url)} {option('--repo', location)}"
    return (
        f"{file.source.url}: has records that are in {location}, and other variables "
        f"({', '.join(more)}). To put them beside the others: virtual_zarr.py add {there}. "
        "Nothing was committed."
    )


def with_columns(
    store: icechunk.IcechunkStore,
    location: str,
    metadata: StoreMetadata,
    files: Sequence[ParsedFile],
    before: StoreMetadata,
    access: Access,
) -> tuple[StoreMetadata, dict[int, ParsedFile], dict[int, int]]:
    """The metadata with a source for each file, behind those of the same records.

    In a store along two dimensions each takes a place along the second, as in ``with_places``.
    ``before``: the metadata without the variables that are new. Also returns the files by their
    numbers there, and the new number of each old source.

    Raises
    ------
    Refused
        For records that the store has not, and for what it has otherwise.
    """
    groups = metadata["groups"]
    if not files or "inner" in metadata:
        return with_places(store, metadata, files)
    entries: list[tuple[Any, list[int], int | None, ParsedFile | None]] = [
        (
            {**record, "variables": sorted(variables_of(record, before))}
            if "variables" not in record and not is_gap(record)
            else record,
            [group["lengths"][number] for group in groups.values()],
            number,
            None,
        )
        for number, record in enumerate(metadata["sources"])
    ]
    for file in files:
        length, stop, at = 0, 0, -1
        for group, stored_group in stored_groups(metadata).items():
            if stored_group["concat_dim"] is None or lacks_group(file, group):
                continue
            part = stored_part(file, group, stored_group)
            start = start_of(store, location, part, group, stored_group)
            length = part.dataset.sizes[stored_group["concat_dim"]]
            stop = start + length
            _check_chunks(store, part, group, stored_group, start)
            _check_shared(store, location, part, group, stored_group, start, access)
            _check_free(file, group, stored_group, start, stop, before)
            place = list(groups).index(group)
            stops = np.cumsum([lengths[place] for _, lengths, _, _ in entries]).tolist()
            if stop not in stops:
                inside = entries[int(np.searchsorted(stops, stop))][0]["url"]
                raise Refused(
                    f"{file.source.url}: its records end within those of {inside}. {TOGETHER}."
                )
            at = len(stops) - 1 - stops[::-1].index(stop)
        if at < 0:
            raise Refused(f"{file.source.url}: has no records that tell its place. {TOGETHER}.")
        record: Any = {
            **file.as_record(),
            "variables": sorted(names_of(file)),
            "covers": length,
        }
        entries.insert(at + 1, (record, [0] * len(groups), None, file))
    renewed: dict[str, GroupRecord] = {
        path: {**group, "lengths": [lengths[at] for _, lengths, _, _ in entries]}
        for at, (path, group) in enumerate(groups.items())
    }
    numbers = {old: new for new, (_, _, old, _) in enumerate(entries) if old is not None}
    added = {new: file for new, (_, _, _, file) in enumerate(entries) if file is not None}
    sources = [record for record, _, _, _ in entries]
    return {**metadata, "sources": sources, "groups": renewed}, added, numbers


def start_of(
    store: icechunk.IcechunkStore,
    location: str,
    part: ParsedFile,
    group: str,
    stored_group: GroupInStore,
) -> int:
    """Where a file's records begin among those of a store.

    Raises
    ------
    Refused
        If the store has not got them, or others between them.
    """
    dimension = str(stored_group["concat_dim"])
    url = part.source.url
    stored = open_store(store, group).indexes.get(dimension)
    mine = part.dataset.indexes.get(dimension)
    if stored is None or mine is None or not len(mine):
        raise Refused(f"{url}: {dimension} has no values that tell its place. {TOGETHER}.")
    places = pd.Index(stored).get_indexer(mine)
    if (places < 0).any():
        value = mine[int(np.argmax(places < 0))]
        raise Refused(
            f"{url}: its {dimension} {value} is not in {location}. Nothing was committed: files "
            "with records of their own are for append."
        )
    if (np.diff(places) != 1).any():
        raise Refused(f"{url}: {location} has records between those of this file. {TOGETHER}.")
    return int(places[0])


def _check_free(
    file: ParsedFile,
    group: str,
    stored_group: GroupInStore,
    start: int,
    stop: int,
    before: StoreMetadata,
) -> None:
    """The data must have no values yet at the records of the file."""
    for number, record in enumerate(before["sources"]):
        span = span_of(stored_group, number) if number < len(stored_group["lengths"]) else None
        if span is None or span.stop <= start or span.start >= stop:
            continue
        if both := own_variables(file, before) & variables_of(record, before):
            raise Refused(
                f"{file.source.url}: {sorted(both)[0]} is in {record['url']} at the same records. "
                "Nothing was committed: files that were issued again are for append --replace."
            )


def _check_chunks(
    store: icechunk.IcechunkStore,
    part: ParsedFile,
    group: str,
    stored_group: GroupInStore,
    start: int,
) -> None:
    """A reference is of a whole chunk, so chunks must begin where the file begins."""
    dimension = str(stored_group["concat_dim"])
    layouts = stored_layouts(store, group, stored_group)
    for name in part.virtual:
        variable = part.dataset[name].variable
        if name not in layouts or layouts[name].is_copy:
            continue
        layout = layouts[name]
        axis = variable.dims.index(dimension)
        chunk = manifest_chunk_shape(variable.data.metadata)[axis]
        stop = start + variable.shape[axis]
        if layout.edges is not None:
            borders = borders_of(layout)
            is_whole = start in borders and stop in borders
        else:
            is_whole = not start % chunk and (not stop % chunk or stop == layout.rows)
        if not is_whole:
            raise Refused(
                f"{part.source.url}: {name}: chunks of {chunk} along {dimension} do not begin and "
                f"end where the file does in the store, at {start} and {stop}. {TOGETHER}, with "
                "--irregular rectilinear or --irregular copy."
            )


def _check_shared(
    store: icechunk.IcechunkStore,
    location: str,
    part: ParsedFile,
    group: str,
    stored_group: GroupInStore,
    start: int,
    access: Access,
) -> None:
    """What the store has already must be the same in the file: nothing is written over."""
    problems = other_values(part, static_values(store, group, stored_group), location, access)
    if problems:
        raise Refused(f"{problems[0].reason}. {OTHER_GRID}.")
    stored = open_store(store, group)
    dimension = str(stored_group["concat_dim"])
    for name in map(str, part.dataset.variables):
        variable = part.dataset[name].variable
        if name not in stored.variables or dimension not in variable.dims or is_virtual(variable):
            continue
        mine = stored[name].variable.isel(
            {dimension: slice(start, start + part.dataset.sizes[dimension])}
        )
        values = np.asarray(mine.values), np.asarray(variable.values)
        if name != dimension and values[0].dtype.kind in "fM" and pd.isnull(values[0]).all():
            continue  # its place is free
        if values[0].shape == values[1].shape:
            differ = np.atleast_1d(mismatch(*values, tolerance(variable)))
            if not differ.any():
                continue
            index = tuple(np.argwhere(differ)[0][: variable.ndim])
            what = f"is {values[1][index]}, but {values[0][index]}"
        else:
            what = f"has the shape {values[1].shape}, but {values[0].shape}"
        raise Refused(f"{part.source.url}: {name} {what} in {location}. {OTHER_GRID}.")
