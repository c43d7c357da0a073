"""Several parsed files to one virtual dataset, or the reasons why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
import zarr

from vzarr.attributes import share_attributes
from vzarr.check import Difference, compare_files, order_problem, partial_chunks
from vzarr.errors import InputError, Refused
from vzarr.parse import CF_ENCODING, ParsedFile, is_virtual
from vzarr.storage import Access
from vzarr.text import option

TIME_CHUNK = 4096
"""Chunk length of a time axis: a source's own is often 1, which makes an object for each step."""

UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")


def find_record_dimension(parsed: ParsedFile) -> str:
    """The dimension that files of this kind continue along.

    The unlimited dimension if there is one, else the dimension of a decoded time coordinate.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    variables = parsed.dataset.variables
    unlimited = [dim for dim in dict.fromkeys(parsed.unlimited) if dim in parsed.dataset.dims]
    times = [
        str(name)
        for name, variable in variables.items()
        if variable.dims == (name,) and is_time(variable)
    ]
    candidates = [dim for dim in unlimited if dim in times] or unlimited or times
    if len(candidates) == 1:
        return candidates[0]
    scalars = [name for name, v in variables.items() if v.ndim == 0 and _names_time(parsed, name)]
    hint = (
        f"Perhaps {option('--concat-dim', scalars[0])}."
        if scalars
        else "Name one with --concat-dim."
    )
    found = f"more than one record dimension ({', '.join(candidates)})" if candidates else "none"
    raise InputError(f"{parsed.source.url}: no single record dimension, found {found}. {hint}")


def has_no_records(parsed: ParsedFile, dimension: str | None) -> bool:
    """Whether a file has the record dimension, in any group, and nothing along it."""
    parts = [parsed, *parsed.children.values()]
    lengths = [part.dataset.sizes.get(dimension) for part in parts]
    found = [length for length in lengths if length is not None]
    return bool(found) and not any(found)


def no_records(parsed: ParsedFile, dimension: str) -> str:
    """The sentence for such a file."""
    return f"{parsed.source.url}: has no records along {dimension}"


def is_time(variable: xr.Variable) -> bool:
    if is_virtual(variable):
        return False
    holds_objects = variable.dtype == object and variable.size > 0
    return variable.dtype.kind == "M" or (
        holds_objects and hasattr(variable.values.flat[0], "calendar")
    )


def _names_time(parsed: ParsedFile, name: Any) -> bool:
    return " since " in str(parsed.packing.get(str(name), {}).get("units", ""))


def with_record_dimension(parsed: ParsedFile, dimension: str) -> ParsedFile:
    """Give a file the dimension that it does not have.

    A scalar of that name becomes the coordinate; otherwise the dimension gets none. Every variable
    with dimensions of its own that is no coordinate gets the new one in front; scalars stay static.
    """
    dataset = parsed.dataset
    if dimension in dataset.dims:
        return parsed
    scalar = dataset.variables.get(dimension)
    if scalar is not None and scalar.ndim:
        raise InputError(f"{parsed.source.url}: {dimension} is a variable of several dimensions.")
    if scalar is not None:
        dataset = dataset.drop_vars(dimension)
    grown = {
        name: dataset[name].variable.expand_dims(dimension)
        for name in dataset.data_vars
        if dataset[name].ndim
    }
    dataset = dataset.assign(grown)
    if scalar is not None:
        coordinate = xr.Variable((dimension,), scalar.values[None], scalar.attrs, scalar.encoding)
        dataset = dataset.assign_coords({dimension: coordinate})
    parsed.dataset = dataset
    for name in grown:
        parsed.digests.pop(str(name), None)
    return parsed


@dataclass(frozen=True)
class Before:
    """What is in the store already: its first file, that all must agree with, and its last."""

    first: ParsedFile
    last: ParsedFile


def combine_files(
    files: list[ParsedFile],
    dimension: str | None,
    access: Access,
    skip_bad: bool = False,
    before: Before | None = None,
    more_follow: bool = False,
) -> tuple[xr.Dataset, list[ParsedFile], list[Difference]]:
    """One dataset, the files in it in their order, and why others were left out.

    They continue what was there ``before``; ``more_follow`` says that others will continue them.

    Raises
    ------
    Refused
        With the first difference between the files, unless ``skip_bad``.
    """
    if dimension is None or (len(files) == 1 and before is None):
        if dimension is not None:
            files = [with_record_dimension(files[0], dimension)]
        dataset = files[0].dataset
        set_time_encoding(dataset, dimension)
        return dataset, files, []
    files = _in_order([with_record_dimension(file, dimension) for file in files], dimension)
    if before is not None:
        before = Before(
            with_record_dimension(before.first, dimension),
            with_record_dimension(before.last, dimension),
        )
    kept: list[ParsedFile] = []
    left_out: list[Difference] = []
    for number, file in enumerate(files):
        last = number == len(files) - 1 and not more_follow
        problems = _problems(kept, file, dimension, access, last, before)
        if problems and not skip_bad:
            raise Refused(_sentence(problems))
        if problems:
            left_out.append(problems[0])
        else:
            kept.append(file)
    if not kept and before is None:
        raise Refused(f"No file is left to build from: {left_out[0]}")
    if not kept:
        return xr.Dataset(), [], left_out
    dataset = xr.concat(
        [file.dataset for file in kept],
        dim=dimension,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs=common_attributes,
    )
    # xarray takes those of what is stored once from the first.
    dataset = share_attributes(dataset, [file.dataset for file in kept])
    set_time_encoding(dataset, dimension)
    return dataset, kept, left_out


def _problems(
    kept: list[ParsedFile],
    file: ParsedFile,
    dimension: str,
    access: Access,
    last: bool,
    before: Before | None,
) -> list[Difference]:
    first = before.first if before else kept[0] if kept else None
    previous = kept[-1] if kept else before.last if before else file
    found = compare_files(first, file, dimension, access) if first else []
    if not found and (overlap := order_problem(previous, file, dimension)):
        found.append(overlap)
    if not found and not last:
        found += partial_chunks(file, dimension)
    return found


def _sentence(problems: list[Difference]) -> str:
    more = f" ({len(problems) - 1} more differences in this file.)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def _in_order(files: list[ParsedFile], dimension: str) -> list[ParsedFile]:
    """By the first value of the record coordinate; as given where there is none."""
    if any(len(file.dataset.indexes.get(dimension, ())) == 0 for file in files):
        return files
    try:
        return sorted(files, key=lambda file: file.dataset.indexes[dimension][0])
    except TypeError:  # two calendars: the comparison of the files will say so
        return files


def common_attributes(attributes: list[dict[str, Any]], context: object = None) -> dict[str, Any]:
    """``combine_attrs`` for ``xarray.concat``: keep what all share, refuse differing CF encoding.

    Raises
    ------
    ValueError
        If an attribute that decides how numbers are decoded differs.
    """
    shared = {}
    for key, value in attributes[0].items():
        values = [other.get(key) for other in attributes]
        if all(np.array_equal(np.asarray(value), np.asarray(other)) for other in values):
            shared[key] = value
        elif key in CF_ENCODING:
            raise ValueError(f"{key} differs between files: {values[:5]}")
    return shared


def set_time_encoding(dataset: xr.Dataset, dimension: str | None = None) -> None:
    """Store loaded times as integers that later appends can continue, in a fixed epoch."""
    for variable in dataset.variables.values():
        if is_virtual(variable):
            continue
        if is_time(variable) and (encoding := exact_time_encoding(variable)):
            variable.encoding = encoding
        if dimension in variable.dims:
            sizes = dict(zip(variable.dims, variable.shape, strict=True))
            steps = TIME_CHUNK if len(sizes) <= 2 else 1
            variable.encoding["chunks"] = tuple(
                steps if dim == dimension else max(1, size) for dim, size in sizes.items()
            )


def exact_time_encoding(variable: xr.Variable) -> dict[str, Any] | None:
    calendar = variable.encoding.get("calendar", "proleptic_gregorian")
    values = variable.values
    if variable.dtype.kind == "M":
        if np.isnat(values).any():
            return None  # a missing time needs the source's own fill value
        for unit, code in zip(UNITS, ("s", "ms", "us"), strict=False):
            if (values == values.astype(f"M8[{code}]")).all():
                return _time_encoding(unit, calendar)
        return _time_encoding("nanoseconds", calendar)
    if any(getattr(moment, "microsecond", 0) for moment in values.flat):
        return _time_encoding("microseconds", calendar)
    return _time_encoding("seconds", calendar)


def finer_unit(variable: xr.Variable, array: zarr.Array) -> tuple[str, str] | None:
    """The unit that times need and the one that a stored axis has, if that is too coarse.

    xarray would write them in units of their own into an axis that keeps its old ones.
    """
    held = str(array.attrs.get("units")).partition(" since ")[0]
    if is_virtual(variable) or not is_time(variable) or array.dtype.kind not in "iu":
        return None
    needed = str((exact_time_encoding(variable) or {}).get("units")).partition(" since ")[0]
    if held in UNITS and needed in UNITS and UNITS.index(needed) > UNITS.index(held):
        return needed, held
    return None


def _time_encoding(unit: str, calendar: str) -> dict[str, Any]:
    return {"units": f"{unit} since 1970-01-01", "calendar": calendar, "dtype": "int64"}
