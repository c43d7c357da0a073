"""Small NetCDF files whose every difference is chosen by a test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cftime
import netCDF4
import numpy as np


@dataclass(frozen=True)
class Recipe:
    """One file: ``v`` (time, lat=4) with the given encoding, on ``steps`` days from ``start``."""

    start: int = 0
    steps: int = 2
    dtype: str = "i2"
    scale: float | None = 0.5
    offset: float | None = 10.0
    fill: float = -99
    units: str = "K"
    epoch: str = "2000-01-01"
    calendar: str = "standard"
    chunk: int = 1
    level: int = 4
    shuffle: bool = True
    fletcher32: bool = False
    jitter: float = 0.0
    mask: float = 1.0
    shift: float = 0.0
    format: str = "NETCDF4"

    @property
    def values(self) -> np.ndarray:
        """Decoded ``v``, of shape (steps, 4): exact under each packing the tests use."""
        days = np.arange(self.start, self.start + self.steps)
        return 20.0 + self.shift + days[:, None] + 2.0 * np.arange(4)

    def write(self, path: Path) -> Path:
        with netCDF4.Dataset(path, "w", format=self.format) as file:
            file.createDimension("time", None if self.format != "NETCDF4" else self.steps)
            file.createDimension("lat", 4)
            time = file.createVariable("time", "f8", ("time",))
            time.units = f"days since {self.epoch}"
            time.calendar = self.calendar
            first = cftime.datetime(2000, 1, 1, calendar=self.calendar)
            since = cftime.date2num(first, time.units, self.calendar)
            time[:] = np.arange(self.start, self.start + self.steps) + since
            file.createVariable("lat", "f8", ("lat",))[:] = np.arange(4.0) + self.jitter
            compression = (
                {
                    "zlib": True,
                    "complevel": self.level,
                    "shuffle": self.shuffle,
                    "fletcher32": self.fletcher32,
                }
                if self.format == "NETCDF4"
                else {}
            )
            chunks = {"chunksizes": (self.chunk, 4)} if self.format == "NETCDF4" else {}
            v = file.createVariable(
                "v", self.dtype, ("time", "lat"), fill_value=self.fill, **compression, **chunks
            )
            v.units = self.units
            if self.scale is not None:
                v.scale_factor, v.add_offset = self.scale, self.offset
            v[:] = self.values
            file.createVariable("mask", "f4", ("lat",))[:] = self.mask
            file.createVariable("crs", "i4", ())[...] = 7
        return path
