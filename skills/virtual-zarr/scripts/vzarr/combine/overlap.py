"""Neighbours that overlap: the first steps of a file repeat the last of the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.mixed_array import TrimmedArray
from vzarr.combine.store_metadata import GroupInStore
from vzarr.combine.trimmed_array import trim_dataset
from vzarr.errors import Refused
from vzarr.formats.open import open_native
from vzarr.limits import box_shape, boxes
from vzarr.sources.content import fetch
from vzarr.sources.schemes import Access
from vzarr.upstream.xarray import unread_data
from vzarr.virtualize.equality import mismatch, tolerance
from vzarr.virtualize.model import ParsedFile

CHOICES = ("first", "last")
"""Of ``--overlap``: whose steps stay, those of the first file that has them or of the last."""

COMPARED = 64 * 1024**2
"""Bytes of a variable that are compared at a time."""


def repeated_steps(before: Any, after: Any) -> int:
    """How many of the first values of one record coordinate repeat the last of another.

    0 where they lie otherwise, or where nothing would be left of one of the files.
    """
    count = int(np.sum(np.asarray(after <= before[-1])))
    if not 0 < count < min(len(after), len(before)):
        return 0
    return count if bool(np.all(np.asarray(before[-count:] == after[:count]))) else 0


def trim(
    file: ParsedFile, dimension: str, first: int, stop: int | None, may_copy: bool = True
) -> ParsedFile:
    """A file, in all groups along ``dimension``, with its steps from ``first`` to ``stop``.

    Raises
    ------
    Refused
        Unless it ``may_copy``: if the first of them lies inside a chunk.
    """
    own_first, own_stop = file.steps or (0, None)
    length = _length(file, dimension)
    stop = None if stop == length else stop
    steps = (own_first + first, own_stop if stop is None else own_first + stop)

    def part_of(part: ParsedFile) -> ParsedFile:
        size = part.dataset.sizes.get(dimension)
        if size is None:
            return part
        if size != length:
            raise Refused(
                f"{file.source.url}: its groups have {size} and {length} steps of {dimension}, so "
                "nothing tells which of them overlap. Build in groups of their own: --group."
            )
        dataset = trim_dataset(part.dataset, dimension, first, length if stop is None else stop)
        if not may_copy:
            _check_whole(file.source.url, dataset, dimension)
        return replace(part, dataset=dataset)

    trimmed = part_of(file)
    children = {path: part_of(part) for path, part in file.children.items()}
    companions = [replace(each, steps=steps) for each in file.companions]
    return replace(trimmed, children=children, companions=companions, steps=steps)


def _length(file: ParsedFile, dimension: str) -> int:
    sizes = [p.dataset.sizes.get(dimension) for p in (file, *file.children.values())]
    return next((size for size in sizes if size is not None), 0)


def _check_whole(url: str, dataset: xr.Dataset, dimension: str) -> None:
    for name, variable in dataset.variables.items():
        if isinstance(unread_data(variable), TrimmedArray):
            raise Refused(
                f"{url}: {name}: its steps of {dimension} begin inside a chunk, so they would "
                "have to be copied, which --irregular refuse rules out."
            )


def index_of(file: ParsedFile, dimension: str) -> Any:
    """The record coordinate of a file: of the first of its groups that has one."""
    for part in (file, *file.children.values()):
        index = part.dataset.indexes.get(dimension)
        if index is not None and len(index):
            return index
    return None


def trim_files(
    files: Sequence[ParsedFile],
    dimension: str,
    which: str | None,
    before: Any = None,
    may_copy: bool = True,
) -> list[ParsedFile]:
    """Files in their order, each without the steps that a neighbour has and that are to stay there.

    ``before``: the record coordinate of what they follow, all of which stays.
    """
    trimmed = list(files)
    indexes = [index_of(file, dimension) for file in files]
    if which is None or any(index is None for index in indexes):
        return trimmed
    order = sorted(range(len(files)), key=lambda number: indexes[number][0])
    numbers = order if which == "first" else order[::-1]
    neighbour = before if which == "first" else None
    for number in numbers:
        index = indexes[number]
        if neighbour is None:
            count = 0
        elif which == "first":
            count = repeated_steps(neighbour, index)
        else:
            count = repeated_steps(index, neighbour)
        if count:
            first, stop = (count, len(index)) if which == "first" else (0, len(index) - count)
            trimmed[number] = trim(files[number], dimension, first, stop, may_copy)
            index = index[first:stop]
        neighbour = index
    return trimmed


def choice_of(
    before: xr.Dataset,
    after: xr.Dataset,
    dimension: str,
    index_before: Any,
    index: Any,
    may_take_back: bool = True,
) -> str:
    """The sentence that offers ``--overlap`` where one file repeats steps of another.

    ``before`` and ``after`` are what their readers see; ``may_take_back``: whether the steps of
    what comes ``before`` can be left to the other.
    """
    count = repeated_steps(index_before, index)
    if not count:
        return ""
    name = _first_other(before, after, dimension, count)
    values = f"{name} has other values" if name else "all values are equal"
    steps = f"{count} steps" if count > 1 else "one step"
    last = ", --overlap last those of the later one" if may_take_back else ""
    return (
        f"It repeats {steps}, in which {values}: --overlap first keeps those of the earlier file"
        f"{last}. "
    )


def choice_beside(
    part: ParsedFile, stored: xr.Dataset, stored_group: GroupInStore, access: Access
) -> str:
    """As ``choice_of``, of a stored group and one of a file that is to follow it."""
    dimension = str(stored_group["concat_dim"])
    first, second = stored.indexes.get(dimension), part.dataset.indexes.get(dimension)
    if first is None or second is None or not repeated_steps(first, second):
        return ""
    # Others of the last records may lie beside it, and would have to be taken back, too.
    is_alone = "variables" not in stored_group["sources"][-1]
    with _read(part, access) as native:
        return choice_of(stored, native, dimension, first, second, is_alone)


def choice_between(
    previous: ParsedFile, following: ParsedFile, dimension: str, access: Access
) -> str:
    """As ``choice_of``, of two files."""
    first, second = (file.dataset.indexes.get(dimension) for file in (previous, following))
    if first is None or second is None or not repeated_steps(first, second):
        return ""
    with _read(previous, access) as before, _read(following, access) as after:
        return choice_of(before, after, dimension, first, second)


def _read(file: ParsedFile, access: Access) -> AbstractContextManager[xr.Dataset]:
    content = fetch(file.source.url, access, file.source.size)
    return open_native(content, file.file_format, file.native_group, file.dropped)


def _first_other(before: xr.Dataset, after: xr.Dataset, dimension: str, count: int) -> str:
    """The first variable whose last steps in one file are not the first of another's."""
    for name in sorted(map(str, before.variables.keys() & after.variables.keys())):
        last, first = before.variables[name], after.variables[name]
        if dimension not in last.dims or last.dims != first.dims:
            continue
        last = last.isel({dimension: slice(last.sizes[dimension] - count, None)})
        first = first.isel({dimension: slice(0, count)})
        if last.shape != first.shape:
            return name
        step = box_shape(last.shape, last.dtype.itemsize, COMPARED)
        for box in boxes(last.shape, step):
            left, right = np.asarray(last[box].values), np.asarray(first[box].values)
            if np.any(mismatch(left, right, tolerance(first))):
                return name
    return ""
