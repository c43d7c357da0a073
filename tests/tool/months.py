"""Monthly files of daily data in the layouts that archives have, and what their readers see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
LAYOUTS = ("whole", "tens", "contiguous", "netcdf3")


@dataclass(frozen=True)
class Month:
    """``pr`` (time, lat=4, lon=5), packed, of the ``number``-th month from 0 on.

    ``layout``: one compressed chunk a file, chunks of ten days with a partial last one, contiguous,
    or NetCDF3.
    """

    number: int
    layout: str = "whole"
    seed: int = 0
    level: int = 4

    @property
    def days(self) -> int:
        return DAYS[self.number % 12]

    @property
    def start(self) -> int:
        return 365 * (self.number // 12) + sum(DAYS[: self.number % 12])

    @property
    def chunk(self) -> int:
        return 10 if self.layout == "tens" else self.days

    def write(self, folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.layout}_{self.number:03}.nc"
        random = np.random.default_rng([self.seed, self.number])
        with netCDF4.Dataset(
            path, "w", format="NETCDF3_64BIT_OFFSET" if self.layout == "netcdf3" else "NETCDF4"
        ) as file:
            for name, size in (("time", self.days), ("lat", 4), ("lon", 5)):
                file.createDimension(name, size)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2023-01-01"
            time[:] = self.start + np.arange(self.days)
            file.createVariable("lat", "f8", ("lat",))[:] = np.arange(4.0)
            file.createVariable("lon", "f8", ("lon",))[:] = np.arange(5.0)
            options = (
                {"zlib": True, "complevel": self.level, "chunksizes": (self.chunk, 4, 3)}
                if self.layout in ("whole", "tens")
                else {}
            )
            v = file.createVariable("pr", "i2", ("time", "lat", "lon"), fill_value=-99, **options)
            v.scale_factor = 0.5
            v[:] = random.integers(0, 400, (self.days, 4, 5)) / 2
        return str(path)


def read(files: list[str]) -> xr.Dataset:
    """The files as their own reader sees them, one behind the other."""
    parts = [xr.open_dataset(file, engine="netcdf4").load() for file in files]
    return xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
