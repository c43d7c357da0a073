"""Archives with a file for each variable: files of the same records become one, side by side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from vzarr.combine.combine import with_record_dimension
from vzarr.combine.compatibility import SEPARATE
from vzarr.combine.shared_attributes import common
from vzarr.errors import Refused
from vzarr.sources.discover import SourceRecord
from vzarr.virtualize.model import ParsedFile, is_virtual


def names_of(file: ParsedFile) -> frozenset[str]:
    """The paths of all variables of a file, in all groups."""
    groups = {"": file, **file.children}
    return frozenset(
        f"{group}/{name}".lstrip("/") for group, part in groups.items() for name in _names(part)
    )


def _names(part: ParsedFile) -> list[str]:
    return list(map(str, part.dataset.variables))


def _own_names(file: ParsedFile) -> frozenset[str]:
    """What tells the columns of an archive apart: of groups, whose coordinates others have, data.

    GRIB files of a parameter each share coordinates of a group with some of the others only.
    """
    if not file.children:
        return names_of(file)
    return frozenset(
        f"{group}/{name}"
        for group, part in file.children.items()
        for name in part.dataset.data_vars
    )


def are_columns(files: Sequence[ParsedFile]) -> bool:
    """Whether there is a file for each variable, or for each of several sets of them.

    Each set has variables that no other one has, and the rest is in all.
    """
    sets = {_own_names(file) for file in files}
    if not any(file.children for file in files):
        return are_disjoint(sets)
    return len(sets) > 1 and sum(map(len, sets)) == len(frozenset.union(*sets))


def are_disjoint(sets: Collection[frozenset[str]]) -> bool:
    """Whether each of several sets of names has its own, beside those that are in all."""
    if len(sets) < 2:
        return False
    shared = frozenset.intersection(*sets)
    own = [names - shared for names in sets]
    return all(own) and sum(map(len, own)) == len(frozenset.union(*own))


def merge_columns(
    files: Sequence[ParsedFile], dimension: str, may_lack: bool = False
) -> list[ParsedFile]:
    """Files whose variables stand beside each other, one for all files of the same records.

    ``may_lack``: where a record has not got all variables, they will be missing.

    Raises
    ------
    Refused
        If a record has not got all variables, or what the files share is not the same in them.
    """
    files = [file if file.children else with_record_dimension(file, dimension) for file in files]
    rows: dict[tuple, list[ParsedFile]] = {}
    for file in files:
        rows.setdefault(_records(file, dimension), []).append(file)
    sets = {_own_names(file) for file in files}
    for row in rows.values():
        own_names = [_own_names(file) for file in row]
        if len(own_names) == len({*own_names}) and (may_lack or len(own_names) == len(sets)):
            continue
        missing = sorted(frozenset.union(*sets) - frozenset.union(*own_names))
        twice = f"{row[1].source.url} has the same" if not missing else ""
        what = twice or f"no file has {', '.join(missing)} for them"
        raise Refused(
            f"{row[0].source.url}: its records along {dimension} are not those of the others: "
            f"{what}. Name files of all variables for each record, or leave it out."
        )
    return [_merged(row, dimension) for row in rows.values()]


def _records(file: ParsedFile, dimension: str) -> tuple:
    """What tells the records of a file from others'."""
    parts = [file, *file.children.values()]
    indexes = [part.dataset.indexes.get(dimension) for part in parts]
    records = {tuple(index) for index in indexes if index is not None}
    if not records:
        raise Refused(
            f"{file.source.url}: {dimension} has no values that tell which files belong side by "
            f"side. {SEPARATE}."
        )
    if len(records) > 1:
        raise Refused(
            f"{file.source.url}: its groups have other values of {dimension} than each other, so "
            f"nothing tells which files belong beside it. {SEPARATE}."
        )
    return records.pop()


def _merged(row: Sequence[ParsedFile], dimension: str) -> ParsedFile:
    first, *others = row
    merged = replace(_merged_group(row, dimension), companions=list(others), own=_sorted(first))
    for path in dict.fromkeys(path for file in row for path in file.children):
        parts = [file.children[path] for file in row if path in file.children]
        # As many as the file itself has, under its name: each adds a source, and no steps.
        part = replace(
            _merged_group(parts, dimension), companions=list(others), source=first.source
        )
        merged.children = {**merged.children, path: part}
    return merged


def _sorted(file: ParsedFile) -> tuple[str, ...]:
    return tuple(sorted(names_of(file)))


def _merged_group(row: Sequence[ParsedFile], dimension: str) -> ParsedFile:
    """One group of files that lie side by side."""
    first, *others = row
    dataset = first.dataset
    for other in others:
        _check_shared(first, other, dimension)
        more = [name for name in other.dataset.variables if name not in dataset.variables]
        coordinates = [name for name in more if name in other.dataset.coords]
        new = {name: other.dataset.variables[name] for name in more}
        dataset = dataset.assign(new).set_coords(coordinates)
    dataset.attrs = common([file.dataset.attrs for file in row])
    for name in dataset.variables:
        said = [file.dataset[name].attrs for file in row if name in file.dataset.variables]
        dataset[name].attrs = common(said)
    merged = replace(first, dataset=dataset)
    for kind in ("native", "dropped", "packing", "digests", "scalars"):
        setattr(
            merged, kind, {k: v for file in reversed(row) for k, v in getattr(file, kind).items()}
        )
    merged.notes = list(dict.fromkeys(note for file in row for note in file.notes))
    merged.unlimited = tuple(dict.fromkeys(dim for file in row for dim in file.unlimited))
    return merged


def _check_shared(first: ParsedFile, other: ParsedFile, dimension: str) -> None:
    """What two files share must be the same in both: it is stored once."""
    for name in map(str, first.dataset.variables.keys() & other.dataset.variables.keys()):
        mine, theirs = other.dataset.variables[name], first.dataset.variables[name]
        if dimension not in mine.dims:
            same = other.digests.get(name) == first.digests.get(name)
        elif is_virtual(mine) or is_virtual(theirs):
            same = False  # nothing tells without reading all of it
        else:
            same = mine.dims == theirs.dims and bool(_equal(mine, theirs))
        if not same:
            raise Refused(
                f"{other.source.url}: {name} is not known to be as in {first.source.url}, which "
                f"has the same records. {SEPARATE}."
            )


def _equal(left: xr.Variable, right: xr.Variable) -> bool:
    values = left.values, right.values
    kinds = {value.dtype.kind for value in values}
    return bool(np.array_equal(*values, equal_nan=kinds <= set("fc")))


def records_of(file: ParsedFile, dimension: str | None) -> list[SourceRecord]:
    """The records of a parsed file and of those beside it, which cover the same steps."""
    if not file.companions and file.within is None:
        return [file.as_record()]
    parts = [file, *file.children.values()]
    sizes = [part.dataset.sizes.get(dimension) for part in parts]
    length = int(next((size for size in sizes if size is not None), 1))
    if file.within is not None:
        records: list[SourceRecord] = [
            {**each.as_record(), "within": list(each.within or ()), "covers": length}
            for each in file.files
        ]
        del records[0]["covers"]
        return records
    records = [{**file.as_record(), "variables": list(file.own)}]
    for each in file.companions:
        records.append({**each.as_record(), "variables": list(_sorted(each)), "covers": length})
    return records


def lengths_of(file: ParsedFile, dimension: str | None) -> list[int]:
    """The steps of each of the records: files beside the first add none."""
    return [int(file.dataset.sizes.get(dimension, 1)), *(0 for _ in file.companions)]
