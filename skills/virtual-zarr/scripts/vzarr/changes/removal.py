"""Records taken out of a store: the axis closed, or their place left, in which all is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, cast

import icechunk
import numpy as np
import zarr

from vzarr.changes.stored_files import NOTHING_DONE, stored_file
from vzarr.combine.file_steps import blocks_of, is_missing, runs_of, steps_in_store
from vzarr.combine.groups import stored_groups
from vzarr.combine.missing import missing_values, names_in_gaps
from vzarr.combine.plan import Layout
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata, span_of
from vzarr.errors import Refused
from vzarr.repository.layouts import layout_of
from vzarr.repository.rearranging import CutChunkError, borders_of, growing_arrays, rearrange
from vzarr.repository.references import delete_chunks, read_references
from vzarr.sources.discover import SourceRecord, changes_of
from vzarr.upstream.xarray import FillValueCoder
from vzarr.verification.open import open_store
from vzarr.virtualize.model import is_virtual


@dataclass(frozen=True)
class Taken:
    """A store without some records: its ``metadata``, the files that are ``out``, and those of
    which some records are, ``partly``, with how many.
    """

    metadata: StoreMetadata
    out: list[SourceRecord]
    partly: dict[str, int]


def take_out(
    store: icechunk.IcechunkStore,
    location: str,
    metadata: StoreMetadata,
    rows: dict[str, np.ndarray],
    leave_gap: bool,
) -> Taken:
    """Take ``rows`` of each group out, or let all data in them be missing.

    Raises
    ------
    Refused
        If they begin or end inside a chunk, or nothing stands for what is missing.
    """
    for group, stored_group in stored_groups(metadata).items():
        dimension = stored_group["concat_dim"]
        if dimension is None or not rows[group].any():
            continue
        if leave_gap:
            _blank(store, location, group, stored_group, rows[group])
        else:
            _close(store, group, dimension, rows[group], changes_of(metadata["sources"]))
    return _without(metadata, rows, leave_gap)


def _close(
    store: icechunk.IcechunkStore,
    group: str,
    dimension: str,
    gone: np.ndarray,
    written: Mapping[str, datetime],
) -> None:
    spans = [slice(*run) for run in runs_of(np.flatnonzero(~gone))]
    for path in growing_arrays(store, group, dimension):
        try:
            rearrange(store, path, dimension, spans, written)
        except CutChunkError as error:
            raise Refused(_whole_chunks(store, group, dimension, gone, error.path)) from error


def _whole_chunks(
    store: icechunk.IcechunkStore, group: str, dimension: str, gone: np.ndarray, path: str
) -> str:
    """The sentence for records that are not whole chunks, with those around them that are."""
    total = len(gone)
    borders = set(range(total + 1))
    for each in growing_arrays(store, group, dimension):
        if any(True for _ in read_references(store, each)):
            borders &= {*borders_of(_layout(store, each, dimension))}
    ordered = sorted(borders | {0, total})
    first, last = int(np.flatnonzero(gone)[0]), int(np.flatnonzero(gone)[-1])
    start = max(row for row in ordered if row <= first)
    stop = min(row for row in ordered if row > last)
    if start == 0 and stop == total:
        works = "Remove its file, or build anew from files that lack them."
    else:
        works = f"What can go is --index {start}..{stop - 1}."
    return (
        f"{path}: records {first}..{last} begin or end inside a chunk, which lies in a file as a "
        f"whole. {works} {NOTHING_DONE}."
    )


def _layout(store: icechunk.IcechunkStore, path: str, dimension: str) -> Layout:
    return layout_of(zarr.open_array(store, path=path, mode="r"), dimension)


def _blank(
    store: icechunk.IcechunkStore,
    location: str,
    group: str,
    stored_group: GroupInStore,
    gone: np.ndarray,
) -> None:
    """Let all data of some rows be missing; coordinates and their bounds stay."""
    dimension = str(stored_group["concat_dim"])
    whole = stored_file(store, location, group, stored_group)
    for name in names_in_gaps(open_store(store, group), dimension):
        path = f"{group}/{name}".lstrip("/")
        variable = whole.dataset[name].variable
        packing = whole.packing.get(name, {})
        number: Any = 0
        if not is_virtual(variable):
            number = _missing_number(zarr.open_array(store, path=path, mode="r"))
        if number is None or missing_values(variable, packing, {dimension: 1}) is None:
            raise Refused(
                f"{path}: no number in it reads as missing, so its records cannot be left as a "
                f"gap: remove them without --gap, which closes the axis. {NOTHING_DONE}."
            )
        for first, stop in runs_of(np.flatnonzero(gone)):
            if is_virtual(variable):
                _forget_chunks(store, group, path, dimension, slice(first, stop), gone)
            else:
                _write_missing(store, path, dimension, slice(first, stop))


def _forget_chunks(
    store: icechunk.IcechunkStore,
    group: str,
    path: str,
    dimension: str,
    span: slice,
    gone: np.ndarray,
) -> None:
    """Delete the chunks of some rows."""
    array = zarr.open_array(store, path=path, mode="r")
    layout = layout_of(array, dimension)
    borders = borders_of(layout)
    if span.start not in borders or span.stop not in borders:
        raise Refused(_whole_chunks(store, group, dimension, gone, path))
    grid = [range(count) for count in array.cdata_shape]
    grid[layout.axis] = range(borders.index(span.start), borders.index(span.stop))
    delete_chunks(store, path, np.array(list(product(*grid)), int))


def _write_missing(store: icechunk.IcechunkStore, path: str, dimension: str, span: slice) -> None:
    array = zarr.open_array(store, path=path, mode="r+")
    axis = layout_of(array, dimension).axis
    array[(slice(None),) * axis + (span,)] = _missing_number(array)


def _missing_number(array: zarr.Array) -> Any:
    """What reads as missing in an array of numbers; None where nothing does."""
    fill: Any = array.attrs.get("_FillValue")
    if isinstance(fill, str):  # as xarray writes it
        return FillValueCoder.decode(fill, array.dtype)
    if fill is None and array.dtype.kind == "f":
        return np.nan
    return fill


def _without(metadata: StoreMetadata, rows: dict[str, np.ndarray], leave_gap: bool) -> Taken:
    """The ledger's side of it."""
    groups = {
        path: stored_group
        for path, stored_group in stored_groups(metadata).items()
        if stored_group["concat_dim"] is not None
    }
    stay: list[int] = []
    out: list[SourceRecord] = []
    partly: dict[str, int] = {}
    changed: dict[int, dict[str, Any]] = {}
    taken: dict[str, dict[int, int]] = {path: {} for path in groups}
    for block in blocks_of(metadata["sources"]):
        gone = {path: rows[path][span_of(group, block[0])] for path, group in groups.items()}
        count = sum(int(marks.sum()) for marks in gone.values())
        is_whole = count > 0 and all(marks.all() for marks in gone.values())
        for number in block:
            record: dict[str, Any] = dict(metadata["sources"][number])
            if is_whole:
                out.append(metadata["sources"][number])
            elif count:
                partly[record["url"]] = max(int(marks.sum()) for marks in gone.values())
            if is_whole and leave_gap:
                changed[number] = {**_plain(record), "gap": True}
            elif count and not is_whole:
                changed[number] = _partly(record, gone, leave_gap)
            if not is_whole or leave_gap:
                stay.append(number)
            if not leave_gap and "covers" not in record:
                for path, marks in gone.items():
                    taken[path][number] = int(marks.sum())
    records = [cast(SourceRecord, changed.get(n, metadata["sources"][n])) for n in stay]
    described: dict[str, GroupRecord] = {
        path: {
            **group,
            "lengths": [group["lengths"][n] - taken.get(path, {}).get(n, 0) for n in stay],
        }
        for path, group in metadata["groups"].items()
    }
    removed = list(metadata.get("removed", []))
    if not leave_gap:
        urls = {record["url"] for record in out}
        removed = [record for record in removed if record["url"] not in urls] + out
    renewed: StoreMetadata = {
        **metadata,
        "sources": records,
        "groups": described,
        "removed": removed,
        "since_removal": True,
    }
    return Taken(renewed, out, partly)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("gaps", "runs")}


def _partly(record: dict[str, Any], gone: dict[str, np.ndarray], leave_gap: bool) -> dict[str, Any]:
    """A record of whose steps some are gone, by group."""
    result = dict(record)
    steps, gaps = dict(record.get("runs", {})), dict(record.get("gaps", {}))
    for path, marks in gone.items():
        own = steps_in_store(record, path, len(marks))
        missing = is_missing(record, path, len(marks))
        if leave_gap:
            gaps[path] = runs_of(own[missing | marks])
        else:
            steps[path] = runs_of(own[~marks])
            gaps[path] = runs_of(own[missing & ~marks])
    if steps:
        result["runs"] = steps
    gaps = {path: runs for path, runs in gaps.items() if runs}
    result.pop("gaps", None)
    if gaps:
        result["gaps"] = gaps
    if "covers" in record and not leave_gap:
        result["covers"] = record["covers"] - max(int(marks.sum()) for marks in gone.values())
    return result


def touched_blocks(metadata: StoreMetadata, taken: Taken) -> Sequence[int]:
    """The numbers, in the new order, of the sources beside those that went."""
    urls = {record["url"] for record in taken.out}
    old = [record["url"] for record in metadata["sources"]]
    neighbours = {
        old[at]
        for n, url in enumerate(old)
        if url in urls or url in taken.partly
        for at in (n - 1, n, n + 1)
        if 0 <= at < len(old)
    }
    records = taken.metadata["sources"]
    return [n for n, record in enumerate(records) if record["url"] in neighbours]
