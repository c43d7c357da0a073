"""Files of a cube whose records a store has: each takes a place along the second dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import icechunk
import numpy as np
import xarray as xr

from vzarr.combine.holes import show
from vzarr.combine.mixed_array import empty_array
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
        For a file with records of both kinds, or with places that the store has not got.
    """
    dimension, inner = metadata["concat_dim"], metadata.get("inner")
    if dimension is None or inner is None or not files:
        return [], list(files)
    records = {*stored_places(store, metadata, dimension).to_index()}
    places = {*stored_places(store, metadata, inner).to_index()}
    placed, others = [], []
    for file in files:
        file = with_both(file, dimension, inner)
        mine = {*values_of(file, dimension)}
        if more := sorted({*values_of(file, inner)} - places):
            raise Refused(
                f"{file.source.url}: has the {inner} {', '.join(map(show, more[:5]))}, which the "
                f"store has not: {inner} does not grow. Nothing was committed: build such files "
                "anew, all at once."
            )
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
        entries.insert(at + 1, (record, [0] * len(metadata["groups"]), None, file))
    groups: dict[str, GroupRecord] = {
        path: {**group, "lengths": [lengths[at] for _, lengths, _, _ in entries]}
        for at, (path, group) in enumerate(metadata["groups"].items())
    }
    sources = [record for record, _, _, _ in entries]
    numbers = {old: new for new, (_, _, old, _) in enumerate(entries) if old is not None}
    added = {new: file for new, (_, _, _, file) in enumerate(entries) if file is not None}
    return {**metadata, "sources": sources, "groups": groups}, added, numbers


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
            array = copy_and_replace_metadata(variable.data.metadata, new_shape=shape)
            new[name] = xr.Variable(variable.dims, empty_array(array), variable.attrs)
        else:
            new[name] = variable.isel({inner: slice(begin, stop)})
    dataset = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=stored.dataset.attrs)
    variables = {**stored.dataset.variables, **new}
    return replace(stored, dataset=dataset.assign(variables))
