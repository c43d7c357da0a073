"""Places of a cube for which there is no file: missing values, with their right labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.missing import missing_values
from vzarr.virtualize.describe import RUN, STEP
from vzarr.virtualize.model import ParsedFile, digest, group_paths, part_of

NAMED = 3
"""Places that a note names; the others are counted."""


def hole(
    owners: Mapping[str, ParsedFile],
    file: ParsedFile,
    records: xr.Variable,
    places: xr.Variable,
    paths: Sequence[str] | None = None,
) -> tuple[dict[str, ParsedFile] | None, str]:
    """Groups of which all is missing at the ``places`` along a second dimension, by path.

    ``records`` and ``places`` are the coordinates, ``owners`` parts of other files that show what
    is missing. Without groups the name of a variable that cannot be missing.
    """
    parts: dict[str, ParsedFile] = {}
    for path in owners if paths is None else paths:
        owner = owners[path]
        variables: dict[Any, xr.Variable] = {}
        for name, variable in owner.dataset.variables.items():
            filled = _filled(str(name), variable, owner, records, places)
            if filled is None:
                return None, f"{path}/{name}".lstrip("/")
            variables[name] = filled
        dataset = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=owner.dataset.attrs)
        dataset = dataset.assign(variables)
        set_valid_times(dataset, dataset)
        dataset = dataset.set_coords([name for name in owner.dataset.coords if name in variables])
        (dimension,), (inner,) = records.dims, places.dims
        lacks = [n for n, v in variables.items() if n not in (dimension, inner) and v.ndim > 1]
        parts[path] = replace(
            owner,
            source=file.source,
            dataset=dataset,
            digests=_digests(owner, dataset, inner, dimension),
            lacks=tuple(map(str, lacks)),
            notes=[],
            companions=[],
            within=None,
        )
    return parts, ""


def _filled(
    name: str, variable: xr.Variable, owner: ParsedFile, records: xr.Variable, places: xr.Variable
) -> xr.Variable | None:
    for coordinate in (records, places):
        if name == coordinate.dims[0]:
            return coordinate
    sizes = {coordinate.dims[0]: coordinate.size for coordinate in (records, places)}
    if not {*sizes} & {*variable.dims}:
        return variable
    return missing_values(variable, owner.packing.get(name, {}), sizes, any_time=True)


def set_valid_times(dataset: xr.Dataset, into: xr.Dataset) -> None:
    """Times that follow from the run and the step are known where there is no file, too.

    Those of ``dataset``, which has both, are put ``into`` one that has these times.
    """
    for name, variable in into.variables.items():
        is_both = variable.dims in ((RUN, STEP), (STEP, RUN)) and variable.dtype.kind == "M"
        if is_both and variable.attrs.get("standard_name") == "time":
            hours = dataset[STEP].variable * 3600e9
            runs = dataset[RUN].variable
            values = (runs + hours.astype("m8[ns]")).transpose(*variable.dims)
            into[name] = xr.Variable(
                variable.dims, values.values, variable.attrs, variable.encoding
            )


def _digests(owner: ParsedFile, dataset: xr.Dataset, inner: Any, dimension: Any) -> dict[str, str]:
    return {
        name: digest(variable) if inner in variable.dims else owner.digests[name]
        for name, variable in dataset.variables.items()
        if name in owner.digests and dimension not in variable.dims
    }


def with_groups_of(
    file: ParsedFile, owners: Mapping[str, ParsedFile], dimension: str, inner: str
) -> ParsedFile:
    """A file of a cube with all groups, those that it has not got as holes.

    Where these cannot be missing it is left as it is, and comparing it says so.
    """
    lacked = [path for path in owners if path not in group_paths(file)]
    if not lacked:
        return file
    records, places = (coordinate(file, name) for name in (dimension, inner))
    parts, _ = hole(owners, file, records, places, lacked)
    if parts is None:
        return file
    root = parts.pop("", file)
    note = f"{file.source.url}: has no {', '.join(lacked)}: missing in its place"
    return replace(root, children={**file.children, **parts}, notes=[*root.notes, note])


def coordinate(file: ParsedFile, name: str) -> xr.Variable:
    """The coordinate along a dimension, from the first group that has it.

    Raises
    ------
    KeyError
        If none has.
    """
    for path in group_paths(file):
        variables = part_of(file, path).dataset.variables
        if name in variables and variables[name].dims == (name,):
            return variables[name]
    raise KeyError(name)


def note_holes(holes: Sequence[tuple[Any, Any]], dimension: str, inner: str, count: int) -> str:
    """A sentence for places without a file."""
    names = [f"{dimension} {show(run)}, {inner} {show(step)}" for run, step in holes[:NAMED]]
    more = f" and {len(holes) - NAMED} more" if len(holes) > NAMED else ""
    return (
        f"{len(holes)} of {count} places have no file: missing at {'; '.join(names)}{more}. "
        "append fills them when the files are there"
    )


def show(value: Any) -> str:
    """A time or a number, short."""
    if isinstance(value, np.datetime64 | datetime):
        return str(np.datetime64(value, "m"))
    return f"{value:g}" if isinstance(value, float | np.floating) else str(value)
