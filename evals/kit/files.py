"""Input files, written from numbers that the generator knows, and what has to be read of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

ARCHIVED = datetime(2024, 2, 1, tzinfo=UTC).timestamp()
"""An archive is older than its readers: Icechunk compares whole seconds."""
UNITS = {"days": "D", "hours": "h", "minutes": "m", "seconds": "s"}


@dataclass(frozen=True)
class Variable:
    """A variable as it lies in a file: ``raw`` numbers, and attributes that say how to read them.

    ``storage`` goes to ``createVariable`` (zlib, chunksizes, …).
    """

    dims: tuple[str, ...]
    raw: np.ndarray
    attrs: Mapping[str, Any] = field(default_factory=dict)
    storage: Mapping[str, Any] = field(default_factory=dict)

    def decoded(self) -> tuple[tuple[str, ...], np.ndarray, dict[str, Any]]:
        """Dimensions, the numbers that a user means, and the attributes that remain."""
        attrs = dict(self.attrs)
        fill = attrs.pop("_FillValue", None)
        scale, offset = attrs.pop("scale_factor", None), attrs.pop("add_offset", None)
        unit, since, epoch = str(attrs.get("units", "")).partition(" since ")
        if since:
            attrs.pop("units"), attrs.pop("calendar", None)
            step = np.timedelta64(1, UNITS[unit]).astype("timedelta64[s]")
            first = np.datetime64(epoch.replace(" ", "T"), "ns")
            return (
                self.dims,
                first + np.rint(self.raw * step.astype(float)).astype("timedelta64[s]"),
                attrs,
            )
        values = self.raw
        if fill is not None:
            values = np.where(values == fill, np.nan, values.astype("f8"))
        if scale is not None:
            values = values * float(scale) + float(offset or 0)
        return self.dims, values, attrs


File = Mapping[str, Variable]


def write(path: Path, file: File, attrs: Mapping[str, Any] | None = None, **options: Any) -> Path:
    """Write a NetCDF file; ``options``: ``format``, ``unlimited`` names of dimensions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unlimited = options.pop("unlimited", ())
    with netCDF4.Dataset(path, "w", **options) as target:
        target.setncatts(dict(attrs or {}))
        for variable in file.values():
            for name, size in zip(variable.dims, variable.raw.shape, strict=True):
                if name not in target.dimensions:
                    target.createDimension(name, None if name in unlimited else size)
        for name, variable in file.items():
            own = dict(variable.attrs)
            made = target.createVariable(
                name,
                variable.raw.dtype,
                variable.dims,
                fill_value=own.pop("_FillValue", None),
                **variable.storage,
            )
            made.setncatts(own)
            made.set_auto_maskandscale(False)
            made[...] = variable.raw
    return age(path)


def age(path: Path, seconds: float = 0.0) -> Path:
    """Give a file the time of the archive, or ``seconds`` later."""
    os.utime(path, (ARCHIVED + seconds, ARCHIVED + seconds))
    return path


def truth(
    files: Sequence[File], record: str = "time", coords: Sequence[str] = ("time", "lat", "lon")
) -> xr.Dataset:
    """What the files hold when they are read one after another along ``record``."""
    variables = {}
    for name in files[0]:
        parts = [file[name].decoded() for file in files]
        dims, values, attrs = parts[0]
        if record in dims:
            values = np.concatenate([part[1] for part in parts], axis=dims.index(record))
        variables[name] = (dims, values, attrs)
    return xr.Dataset(variables).set_coords([name for name in coords if name in variables])


def grid(rows: int = 6, columns: int = 8) -> dict[str, Variable]:
    """Coordinates ``lat`` and ``lon``."""
    return {
        "lat": Variable(("lat",), np.linspace(60, -60, rows), {"units": "degrees_north"}),
        "lon": Variable(("lon",), np.arange(columns) * 360.0 / columns, {"units": "degrees_east"}),
    }


def clock(
    raw: Sequence[float] | np.ndarray, since: str, unit: str = "hours", **attrs: Any
) -> Variable:
    """The variable ``time``."""
    told = {"units": f"{unit} since {since}", "calendar": "standard", **attrs}
    return Variable(("time",), np.asarray(raw, "f8"), told)


def counts(
    random: np.random.Generator,
    shape: tuple[int, ...],
    packing: Mapping[str, Any],
    fill: int = -32767,
    **attrs: Any,
) -> Variable:
    """Packed integers along time, with a few that are missing; a compressed chunk a step."""
    raw = random.integers(-8000, 8000, shape).astype("i2")
    raw[random.random(shape) < 0.03] = fill
    told = {"_FillValue": np.int16(fill), **packing, **attrs}
    storage = {"zlib": True, "shuffle": True, "chunksizes": (1, *shape[1:])}
    return Variable(("time", "lat", "lon"), raw, told, storage)
