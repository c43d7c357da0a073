"""Images of a satellite, each packed in its own way."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np


def image(
    folder: Path, number: int, scale: float, offset: float, days: int = 2, **options: object
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sst_{number}.nc"
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in (("time", days), ("lat", 4), ("lon", 6)):
            file.createDimension(dim, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "days since 2020-01-01"
        time[:] = 10 * number + np.arange(days)
        for dim, size in (("lat", 4), ("lon", 6)):
            file.createVariable(dim, "f4", (dim,))[:] = np.arange(size)
        options = {"zlib": True, "chunksizes": (1, 4, 3), "fill_value": -32768, **options}
        for name in ("sst", "same"):
            v = file.createVariable(name, "i2", ("time", "lat", "lon"), **options)
            own = (scale, offset) if name == "sst" else (0.5, 1.0)
            v.setncatts({"scale_factor": own[0], "add_offset": own[1], "units": "K"})
            values = own[1] + own[0] * np.random.default_rng(number).integers(-99, 99, (days, 4, 6))
            v[:] = np.ma.masked_less(values, own[1] - own[0] * 90)
    return str(path)
