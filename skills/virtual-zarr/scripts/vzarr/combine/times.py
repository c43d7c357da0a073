"""How times are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
import zarr

from vzarr.combine.record_dimension import is_time
from vzarr.virtualize.model import is_virtual

TIME_CHUNK = 4096
"""Chunk length of a time axis: a source's own is often 1, which makes an object for each step."""


UNITS = ("seconds", "milliseconds", "microseconds", "nanoseconds")


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
    """Units in which the moments are whole numbers; None where one is missing.

    Missing ones need the source's own fill value.
    """
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
    unit = str(array.attrs.get("units")).partition(" since ")[0]
    if is_virtual(variable) or not is_time(variable) or array.dtype.kind not in "iu":
        return None
    needed = str((exact_time_encoding(variable) or {}).get("units")).partition(" since ")[0]
    if unit in UNITS and needed in UNITS and UNITS.index(needed) > UNITS.index(unit):
        return needed, unit
    return None


def _time_encoding(unit: str, calendar: str) -> dict[str, Any]:
    return {"units": f"{unit} since 1970-01-01", "calendar": calendar, "dtype": "int64"}
