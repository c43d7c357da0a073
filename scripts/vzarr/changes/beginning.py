"""Groups and variables that begin with new files, as totals do behind step 0 of a forecast.

They are made in the store first, without records or with missing ones; the files follow them as
they follow any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import icechunk
import xarray as xr
import zarr

from vzarr.changes.stored_files import holds_all, lacks_group, stored_file, stored_part
from vzarr.combine.groups import describe, stored_groups
from vzarr.combine.lacking import has_records, with_all_groups
from vzarr.combine.missing import with_missing
from vzarr.combine.mixed_array import empty_array
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.combine.times import set_time_encoding
from vzarr.repository.create import write_datasets
from vzarr.upstream.zarr import dimension_names
from vzarr.virtualize.model import ParsedFile, group_paths, is_virtual, part_of


def begin_new(
    store: icechunk.IcechunkStore,
    location: str,
    files: Sequence[ParsedFile],
    metadata: StoreMetadata,
    checksum: datetime,
) -> StoreMetadata:
    """Make what ``files`` have and the store has not; returns the metadata with it.

    What cannot be missing in the files that are in stays out: comparing the new ones says so.
    """
    dimension = metadata["concat_dim"]
    if dimension is None or not files or not holds_all(metadata):
        return metadata
    stored = {
        group: stored_file(store, location, group, each)
        for group, each in stored_groups(metadata).items()
    }
    groups = {**metadata["groups"]}
    new: set[str] = set()
    for group, part in _new_groups(files, stored, dimension).items():
        write_beside(store, group, part.dataset, checksum)
        # Written whole: of no texts nothing would tell that they are texts.
        _take_out_records(store, group, dimension)
        groups[group] = _described(part, group, metadata)
        new |= {f"{group}/{name}".lstrip("/") for name in part.dataset.variables}
    for group, stored_group in stored_groups(metadata).items():
        parts = [
            stored_part(file, group, stored_group) for file in files if not lacks_group(file, group)
        ]
        more = _new_variables(stored[group], parts, dimension)
        if more is not None:
            write_beside(store, group, more, checksum)
            groups[group] = _with_variables(groups[group], more, parts)
            new |= {f"{group}/{name}".lstrip("/") for name in more.variables}
    if not new:
        return metadata
    sources: Any = [
        {**record, "lacks": sorted({*record.get("lacks", ()), *new})}
        for record in metadata["sources"]
    ]
    return {**metadata, "sources": sources, "groups": groups}


def _new_groups(
    files: Sequence[ParsedFile], stored: dict[str, ParsedFile], dimension: str
) -> dict[str, ParsedFile]:
    """Groups that may begin later, with the numbers of the first file that has them, by path."""
    parts: dict[str, ParsedFile] = {}
    for file in files:
        for path in group_paths(file):
            if path not in stored and path not in parts:
                part = part_of(file, path)
                if not has_records(part, dimension):
                    continue
                dataset = part.dataset.copy()
                set_time_encoding(dataset, dimension)
                parts[path] = replace(part, dataset=_without_references(dataset))
    model = next(iter(stored.values()))
    old = ParsedFile(
        model.source, "", xr.Dataset(), children={p: s for p, s in stored.items() if p}
    )
    if "" in stored:
        old.dataset = stored[""].dataset
    whole, problems = with_all_groups([old, *files], dimension, {})
    refused = any(problem.url == old.source.url for problem in problems)
    return {} if refused or not whole else parts


def _without_references(dataset: xr.Dataset) -> xr.Dataset:
    empty = {
        name: xr.Variable(variable.dims, empty_array(variable.data.metadata), variable.attrs)
        for name, variable in dataset.variables.items()
        if is_virtual(variable)
    }
    return dataset.assign(empty)


def _take_out_records(store: icechunk.IcechunkStore, group: str, dimension: str) -> None:
    for _, array in zarr.open_group(store, path=group, mode="r+").arrays():
        names = dimension_names(array)
        if dimension in names:
            axis = names.index(dimension)
            array.resize((*array.shape[:axis], 0, *array.shape[axis + 1 :]))


def _described(part: ParsedFile, group: str, metadata: StoreMetadata) -> GroupRecord:
    """What the store keeps of a group in which none of its sources has records."""
    file = ParsedFile(part.source, part.file_format, xr.Dataset(), children={group: part})
    record = describe([file], group, metadata["concat_dim"])
    record["lengths"] = [0] * len(metadata["sources"])
    shares = [each["tolerance"] for each in metadata["groups"].values() if "tolerance" in each]
    if shares:
        record["tolerance"] = shares[0]
    return record


def _new_variables(
    stored: ParsedFile, parts: Sequence[ParsedFile], dimension: str
) -> xr.Dataset | None:
    """Variables of new files that a group has not, missing in the records that are there."""
    lacked = {str(name) for part in parts for name in part.dataset.variables}
    if not lacked - {str(name) for name in stored.dataset.variables}:
        return None
    whole = with_missing([stored, *parts], dimension, None)[0]
    if not whole.lacks:
        return None
    more = whole.dataset[list(whole.lacks)].reset_coords()
    more = more.drop_vars([name for name in more.variables if name not in whole.lacks])
    coordinates = [name for name in whole.lacks if name in whole.dataset.coords]
    more = more.set_coords(coordinates)
    set_time_encoding(more, dimension)
    return more


def _with_variables(
    record: GroupRecord, more: xr.Dataset, parts: Sequence[ParsedFile]
) -> GroupRecord:
    names = {str(name) for name in more.variables}
    file = ParsedFile(parts[0].source, "", more)
    native = {n: str(why) for part in parts for n, why in part.native.items() if n in names}
    virtual = {*file.virtual}
    loaded = names - virtual - native.keys()
    return {
        **record,
        "virtual": sorted({*record["virtual"], *virtual}),
        "loaded": sorted({*record["loaded"], *loaded}),
        "native": {**record["native"], **native},
    }


def write_beside(
    store: icechunk.IcechunkStore, group: str, dataset: xr.Dataset, checksum: datetime
) -> None:
    """Write variables beside those of a group; it goes on to name the coordinates of before."""
    try:
        before: dict[str, Any] = dict(zarr.open_group(store, path=group, mode="r").attrs)
    except FileNotFoundError:
        before = {}
    write_datasets(store, {group: dataset}, checksum)
    if before:
        root = zarr.open_group(store, path=group, mode="r+")
        names = f"{before.get('coordinates', '')} {root.attrs.get('coordinates', '')}".split()
        attributes = {**before, "coordinates": " ".join(dict.fromkeys(names))} if names else before
        root.attrs.put(attributes)
