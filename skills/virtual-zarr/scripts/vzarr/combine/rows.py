"""Archives along two dimensions: files of one run, a step each, become one file of that run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.combine import with_record_dimension
from vzarr.combine.compatibility import SEPARATE
from vzarr.combine.groups import combine_groups
from vzarr.combine.holes import coordinate, hole, note_holes, show, with_groups_of
from vzarr.errors import Refused
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import ParsedFile, digest, group_paths, is_virtual, part_of

HOLE = "\0"
"""How the URL of what stands for a missing file begins."""
NOTHING: Mapping[str, ParsedFile] = MappingProxyType({})


def merge_rows(
    files: Sequence[ParsedFile],
    dimension: str,
    inner: str,
    access: Access,
    stored: Mapping[str, ParsedFile] = NOTHING,
    steps: xr.Variable | None = None,
) -> tuple[list[ParsedFile], list[str]]:
    """One file for all that have the same records along ``dimension``, combined along ``inner``.

    Places without a file are missing. ``stored`` are the groups of a store that they continue, and
    ``steps`` its coordinate along ``inner``. Also returns what to note.

    Raises
    ------
    Refused
        If the files of a row differ, if one row has no value along ``inner`` in common with
        others, or for a variable that cannot be missing.
    """
    files = [with_both(file, dimension, inner) for file in files]
    owners: dict[str, ParsedFile] = {}
    for file in files:
        for path in group_paths(file):
            owners.setdefault(path, part_of(file, path))
    owners = {**stored, **owners}
    rows: dict[tuple, list[ParsedFile]] = {}
    for file in files:
        records, _ = values_of(file, dimension), values_of(file, inner)
        whole = with_groups_of(file, owners, dimension, inner)
        row = rows.setdefault(records, [])
        _check_alone(row, whole, dimension, inner)
        row.append(whole)
    mine = [{value for file in row for value in values_of(file, inner)} for row in rows.values()]
    every = set().union(*mine, () if steps is None else steps.to_index())
    if steps is None:
        _check_shared(list(rows.values()), mine, dimension, inner)
    merged: list[ParsedFile] = []
    holes: list[tuple[Any, Any]] = []
    for (records, row), places in zip(rows.items(), mine, strict=True):
        lacked = sorted(every - places)
        fillers = [_filler(row[0], owners, dimension, inner, place) for place in lacked]
        merged.append(_merged(row, fillers, dimension, inner, access))
        holes += [(record, place) for record in records for place in lacked]
    count = len(every) * sum(map(len, rows))
    return merged, [note_holes(holes, dimension, inner, count)] * bool(holes)


def _check_alone(row: list[ParsedFile], file: ParsedFile, dimension: str, inner: str) -> None:
    """A place is of one file: those of several lie along a third dimension."""
    mine = {*values_of(file, inner)}
    for other in row:
        if mine.isdisjoint(values_of(other, inner)):
            continue
        name = _other_place(file, other, (dimension, inner))
        advice = (
            f"They differ in {name}: a store has two dimensions of files, so build a store for "
            f"each {name}, or make one file of those that differ in it"
            if name
            else "Leave one of them out"
        )
        raise Refused(
            f"{file.source.url}: has the same {dimension} and {inner} as {other.source.url}. "
            f"{advice}."
        )


def _other_place(file: ParsedFile, other: ParsedFile, known: tuple[str, str]) -> str:
    """What tells two files apart: a coordinate of one value, in one of their groups."""
    for path in group_paths(file):
        mine, theirs = (part_of(each, path).dataset.variables for each in (file, other))
        for name, variable in mine.items():
            if variable.size != 1 or name in known or is_virtual(variable):
                continue
            if variable.dims in ((), (name,)) and not variable.equals(theirs.get(name)):
                return str(name)
    return ""


def _check_shared(
    rows: list[list[ParsedFile]], places: list[set], dimension: str, inner: str
) -> None:
    """Rows with nothing in common along the second dimension are no cube."""
    for row, mine in zip(rows, places, strict=True):
        others = set().union(*(each for each in places if each is not mine))
        if len(rows) > 1 and mine.isdisjoint(others):
            shown = ", ".join(show(place) for place in sorted(mine)[:5])
            raise Refused(
                f"{row[0].source.url}: no file of another {dimension} has the {inner} of this one "
                f"({shown}). {SEPARATE}."
            )


def _filler(
    file: ParsedFile, owners: Mapping[str, ParsedFile], dimension: str, inner: str, place: Any
) -> ParsedFile:
    """What stands for a file that is not there."""
    records, known = (coordinate(file, name) for name in (dimension, inner))
    places = xr.Variable((inner,), np.array([place]), known.attrs, known.encoding)
    places = places.astype(known.dtype) if known.dtype.kind != "M" else places
    source = replace(file.source, url=f"{HOLE}{place}")
    stands_for = replace(file, source=source, companions=[], within=None, notes=[])
    parts, name = hole(owners, stands_for, records, places)
    if parts is None:
        raise Refused(
            f"{file.source.url}: with the files of the same {dimension} it has no {inner} of "
            f"{show(place)}, and {name} cannot be missing there: no value stands for that. Leave "
            "files out, or name those that are missing."
        )
    return replace(parts.pop("", stands_for), children=parts)


def with_both(file: ParsedFile, dimension: str, inner: str) -> ParsedFile:
    """A file with both dimensions, the second behind the first; of groups each has them.

    Raises
    ------
    Refused
        If nothing tells its place along the second.
    """
    if file.children:
        return file
    file = with_record_dimension(file, dimension)
    dataset = file.dataset
    if inner in dataset.dims:
        return file
    scalar = dataset.variables.get(inner)
    if scalar is not None and is_virtual(scalar):
        scalar = file.scalars.get(inner)
    if scalar is None or scalar.ndim > 1:
        raise Refused(f"{file.source.url}: has no {inner} that tells its place. {SEPARATE}.")
    grown = {}
    for name in dataset.data_vars:
        variable = dataset.variables[name]
        if not variable.ndim or name == inner:
            continue
        axis = variable.dims.index(dimension) + 1 if dimension in variable.dims else 0
        dims = (*variable.dims[:axis], inner, *variable.dims[axis:])
        data = np.expand_dims(variable.data, axis=axis)
        grown[name] = xr.Variable(dims, data, variable.attrs, variable.encoding)
    place = xr.Variable((inner,), np.ravel(scalar.values), scalar.attrs, scalar.encoding)
    dataset = dataset.drop_vars(inner).assign(grown).assign_coords({inner: place})
    digests = {name: known for name, known in file.digests.items() if name not in {*grown, inner}}
    return replace(file, dataset=dataset, digests=digests)


def values_of(file: ParsedFile, dimension: str) -> tuple:
    """The values of the coordinate along a dimension, the same in all groups that have it.

    Raises
    ------
    Refused
        If there are none, or others in another group.
    """
    parts = [file, *file.children.values()]
    indexes = [part.dataset.indexes.get(dimension) for part in parts]
    records = {tuple(index) for index in indexes if index is not None}
    if len(records) != 1:
        what = "has no values" if not records else "differs between its groups"
        raise Refused(f"{file.source.url}: {dimension} {what}, so nothing tells its place.")
    return records.pop()


def _merged(
    row: list[ParsedFile], fillers: list[ParsedFile], dimension: str, inner: str, access: Access
) -> ParsedFile:
    datasets, order, _ = combine_groups([*row, *fillers], inner, access)
    starts = np.cumsum([0, *(len(values_of(file, inner)) for file in order)]).tolist()
    files = [
        replace(file, within=(inner, start, stop))
        for file, start, stop in zip(order, starts, starts[1:], strict=False)
        if not file.source.url.startswith(HOLE)
    ]
    first = files[0]
    parts = {}
    for path, dataset in datasets.items():
        part = first.children[path] if path else first
        parts[path] = replace(part, dataset=dataset, companions=files[1:], digests={})
        for name, known in part.digests.items():
            variable = dataset.variables[name]
            if inner not in variable.dims:
                parts[path].digests[name] = known
            elif is_virtual(variable):
                raise Refused(
                    f"{first.source.url}: {name} lies along {inner} and not along {dimension}, so "
                    f"all files would have to share it. {SEPARATE}."
                )
            else:
                parts[path].digests[name] = digest(variable)
    root = parts.pop("", replace(first, companions=files[1:]))
    notes = [note for file in files for note in file.notes]
    return replace(root, children=parts, notes=list(dict.fromkeys(notes)))
