"""Files of a cube whose records a store has: each takes a place along the second dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import icechunk
import numpy as np
import xarray as xr

from vzarr.combine.file_steps import is_gap
from vzarr.combine.mixed_array import MixedArray, empty_array
from vzarr.combine.rows import values_of, with_both
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.errors import Refused
from vzarr.sources.discover import SourceRecord
from vzarr.upstream.virtualizarr import copy_and_replace_metadata
from vzarr.verification.open import open_store
from vzarr.virtualize.model import ParsedFile, is_virtual


def stored_places(store: icechunk.IcechunkStore, metadata: StoreMetadata, name: str) -> xr.Variable:
    """The coordinate of a store along one of its two dimensions.

    Raises
    ------
    Refused
        If it has none.
    """
    for group in metadata["groups"]:
        variable = open_store(store, group).variables.get(name)
        if variable is not None and variable.dims == (name,):
            return variable
    raise Refused(f"The store has no coordinate along {name}, so nothing tells a file's place.")


def split_placed(
    store: icechunk.IcechunkStore, files: Sequence[ParsedFile], metadata: StoreMetadata
) -> tuple[list[ParsedFile], list[ParsedFile]]:
    """Files of records that the store has, and those with records of their own.

    Raises
    ------
    Refused
        For a file with records of both kinds.
    """
    dimension, inner = metadata["concat_dim"], metadata.get("inner")
    if dimension is None or inner is None or not files:
        return [], list(files)
    records = {*stored_places(store, metadata, dimension).to_index()}
    placed, others = [], []
    for file in files:
        file = with_both(file, dimension, inner)
        mine = {*values_of(file, dimension)}
        if mine <= records:
            placed.append(file)
        elif mine & records:
            raise Refused(
                f"{file.source.url}: some of its records along {dimension} are in the store, and "
                "some are not. Nothing was committed: name files of a record each."
            )
        else:
            others.append(file)
    return placed, others


def with_places(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, files: Sequence[ParsedFile]
) -> tuple[StoreMetadata, dict[int, ParsedFile], dict[int, int]]:
    """The metadata with a source for each file, behind those of the same records.

    Also returns the files by their numbers there, and the new number of each old source.

    Raises
    ------
    Refused
        For a file with a place that another one has.
    """
    dimension, inner = str(metadata["concat_dim"]), metadata.get("inner", "")
    entries: list[tuple[SourceRecord, list[int], int | None, ParsedFile | None]] = [
        (record, [group["lengths"][number] for group in metadata["groups"].values()], number, None)
        for number, record in enumerate(metadata["sources"])
    ]
    if files:
        records = stored_places(store, metadata, dimension).to_index()
        places = stored_places(store, metadata, inner).to_index()
    for file in files:
        start = int(records.get_loc(values_of(file, dimension)[0]))
        begin = int(places.get_loc(values_of(file, inner)[0]))
        within: Any = {"within": [inner, begin, begin + len(values_of(file, inner))]}
        record: Any = {**file.as_record(), **within, "covers": len(values_of(file, dimension))}
        stops = np.cumsum([max(lengths) for _, lengths, _, _ in entries])
        at = int(np.searchsorted(stops, start, "right"))
        while at + 1 < len(entries) and not any(entries[at + 1][1]):
            at += 1
        begins = max(n for n in range(at + 1) if any(entries[n][1]))
        _check_free(record, [other for other, _, _, _ in entries[begins : at + 1]], dimension)
        entries.insert(at + 1, (record, [0] * len(metadata["groups"]), None, file))
    groups: dict[str, GroupRecord] = {
        path: {**group, "lengths": [lengths[at] for _, lengths, _, _ in entries]}
        for at, (path, group) in enumerate(metadata["groups"].items())
    }
    sources = [record for record, _, _, _ in entries]
    numbers = {old: new for new, (_, _, old, _) in enumerate(entries) if old is not None}
    added = {new: file for new, (_, _, _, file) in enumerate(entries) if file is not None}
    return {**metadata, "sources": sources, "groups": groups}, added, numbers


def _check_free(record: SourceRecord, others: Sequence[SourceRecord], dimension: str) -> None:
    """A place is of one file; ``others`` have the same records."""
    inner, begin, stop = record["within"]
    for other in others:
        _, first, end = other.get("within", (inner, begin, stop))
        if max(first, begin) < min(end, stop) and not is_gap(other):
            raise Refused(
                f"{record['url']}: has the same {dimension} and {inner} as {other['url']}. Let it "
                "take that file's place with --replace, where it has the same places, or leave it "
                "out. Nothing was committed."
            )


def cut_to_place(stored: ParsedFile, record: SourceRecord) -> ParsedFile:
    """A stored group as it is at the place of one source along the second dimension."""
    within = record.get("within")
    if within is None:
        return stored
    inner, begin, stop = within
    new = {}
    for name, variable in stored.dataset.variables.items():
        if inner not in variable.dims:
            continue
        axis = variable.dims.index(inner)
        if is_virtual(variable):
            shape = [*variable.shape[:axis], stop - begin, *variable.shape[axis + 1 :]]
            whole = variable.data
            array = empty_array(copy_and_replace_metadata(whole.metadata, new_shape=shape))
            if isinstance(whole, MixedArray):
                array = MixedArray(
                    array.metadata,
                    array.manifest,
                    whole.axis,
                    whole.edges,
                    is_regular=whole.is_regular,
                )
            new[name] = xr.Variable(variable.dims, array, variable.attrs)
        else:
            new[name] = variable.isel({inner: slice(begin, stop)})
    dataset = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=stored.dataset.attrs)
    variables = {**stored.dataset.variables, **new}
    return replace(stored, dataset=dataset.assign(variables))
