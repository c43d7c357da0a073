"""Format: classic NetCDF3 with a record dimension, packed shorts, months of different length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files

KIND = "format"
EXPECTS = [
    "flow.icechunk has discharge of five months with the values of the files, virtual.",
    "python mean.py prints `mean: NUMBER`, the mean of all values that are not missing.",
]
DAYS = {10: 31, 11: 30, 12: 31, 1: 31, 2: 28}


def archive(seed: int) -> dict[str, files.File]:
    """Files by name, in the order of time: the year changes with the fourth."""
    made = {}
    for month, days in DAYS.items():
        random = np.random.default_rng([seed, month])
        year = 1998 if month > 2 else 1999
        packing = {"scale_factor": 0.1, "add_offset": 850.0}
        attrs = {"units": "m3 s-1", "long_name": "river discharge"}
        flow = files.counts(random, (days, 6, 8), packing, **attrs)
        made[f"flow_{month:02d}{year % 100}.nc"] = {
            "time": files.clock(np.arange(days) + 0.5, f"{year}-{month:02d}-01 00:00:00", "days"),
            **files.grid(),
            "discharge": files.Variable(flow.dims, flow.raw, flow.attrs),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    for name, file in archive(seed).items():
        path = folder / "flow" / name
        files.write(path, file, format="NETCDF3_CLASSIC", unlimited=("time",))
