"""Silent trap: bounds of time count from each file's own first day, as time itself does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "silent trap"
EXPECTS = [
    "rain.icechunk has tp, time and time_bnds of six weeks, all bounds with their own dates.",
    "tp is virtual.",
]
WEEKS = 6
FIRST = np.datetime64("2022-06-01T00:00:00", "s")


def archive(seed: int) -> list[files.File]:
    """Files, one a week."""
    made = []
    for week in range(WEEKS):
        random = np.random.default_rng([seed, week])
        since = str(FIRST + np.timedelta64(7 * week, "D")).replace("T", " ")
        starts = 24.0 * np.arange(7)
        values = random.gamma(1, 3, (7, 6, 8)).astype("f4")
        made.append(
            {
                "time": files.clock(starts + 24, since, bounds="time_bnds"),
                "time_bnds": Variable(("time", "nv"), np.stack([starts, starts + 24], axis=1)),
                **files.grid(),
                "tp": Variable(
                    ("time", "lat", "lon"),
                    values,
                    {"units": "mm", "long_name": "total precipitation"},
                    {"zlib": True, "chunksizes": (1, 6, 8)},
                ),
            }
        )
    return made


def truth(seed: int) -> xr.Dataset:
    ds = files.truth(archive(seed))
    day = np.timedelta64(1, "D")
    ends = FIRST.astype("M8[ns]") + day * np.arange(1, 7 * WEEKS + 1)
    return ds.assign(time_bnds=(("time", "nv"), np.stack([ends - day, ends], axis=1)))


def make(folder: Path, seed: int) -> None:
    for week, file in enumerate(archive(seed)):
        files.write(folder / "rain" / f"tp_week{week + 22}.nc", file)
