"""A month of small files for ``demo``: daily, packed, each with an epoch of its own."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np

DAYS = 31


def write_month(folder: Path) -> list[Path]:
    """Write 31 NetCDF4 files of 24 hourly steps each; returns their paths in time order.

    ``t2m`` is (time=24, latitude=19, longitude=36), packed int16, deflate + shuffle, one chunk a
    step; ``time`` counts hours since the file's own midnight. Seeded: always the same values.
    """
    folder.mkdir(parents=True)
    random = np.random.default_rng(2024)
    latitude = np.linspace(90, -90, 19, dtype="f4")
    longitude = np.arange(0, 360, 10, dtype="f4")
    climate = 255 + 45 * np.cos(np.radians(latitude))[:, None] + np.zeros(longitude.size)
    paths = []
    for day in range(1, DAYS + 1):
        path = folder / f"t2m_2024-01-{day:02d}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for name, size in [("time", 24), ("latitude", 19), ("longitude", 36)]:
                file.createDimension(name, size)
            time = file.createVariable("time", "i4", ("time",))
            time.units = f"hours since 2024-01-{day:02d} 00:00:00"
            time[:] = np.arange(24)
            for name, values in [("latitude", latitude), ("longitude", longitude)]:
                file.createVariable(name, "f4", (name,))[:] = values
            t2m = file.createVariable(
                "t2m",
                "i2",
                ("time", "latitude", "longitude"),
                zlib=True,
                shuffle=True,
                chunksizes=(1, 19, 36),
                fill_value=-32767,
            )
            t2m.setncatts({"units": "K", "scale_factor": 0.01, "add_offset": 260.0})
            t2m[:] = climate + random.normal(0, 4, (24, 19, 36))
        paths.append(path)
    return paths
