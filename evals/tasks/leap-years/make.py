"""Irregular archive: years of 365 and 366 days, not compressed, each in one piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "irregular archive"
EXPECTS = [
    "daily.icechunk has every day of four years, the leap day too, with the values of the files.",
    "slp is virtual: no piece of it was copied.",
]
YEARS = {2019: 365, 2020: 366, 2021: 365, 2022: 365}


def archive(seed: int) -> dict[int, files.File]:
    """Files by year."""
    made = {}
    for year, days in YEARS.items():
        random = np.random.default_rng([seed, year])
        values = random.normal(1013, 9, (days, 4, 5)).astype("f4")
        attrs = {"units": "hPa", "long_name": "sea level pressure"}
        made[year] = {
            "time": files.clock(np.arange(days), f"{year}-01-01 00:00:00", "days"),
            **files.grid(4, 5),
            "slp": Variable(("time", "lat", "lon"), values, attrs, {"contiguous": True}),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    for year, file in archive(seed).items():
        files.write(folder / "years" / f"slp_{year}.nc", file)
