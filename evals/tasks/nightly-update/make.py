"""Growth: a script for every night, run twice, then with new files, at last with an odd one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "growth"
EXPECTS = [
    "update.py was run: station.icechunk covers six days.",
    "A second run changes nothing; with two new files the repository covers eight days.",
    "A file with another packing is refused with a status that is not 0, or is read right.",
    "wind stays virtual, and the static elevation without a time dimension.",
]
PACKING = {"scale_factor": 0.01, "add_offset": 100.0}
ODD = {"scale_factor": 0.02, "add_offset": 100.0}


def file(seed: int, day: int, packing: dict[str, float] = PACKING) -> files.File:
    random = np.random.default_rng([seed, day])
    high = np.random.default_rng(seed).random((6, 8)).astype("f4")
    return {
        "time": files.clock([0, 6, 12, 18], f"2023-05-{day:02d} 00:00:00"),
        **files.grid(),
        "wind": files.counts(random, (4, 6, 8), packing, units="m s-1", long_name="wind speed"),
        "elevation": Variable(("lat", "lon"), high, {"units": "m", "long_name": "elevation"}),
    }


def write(folder: Path, seed: int, day: int, packing: dict[str, float] = PACKING) -> None:
    path = folder / "incoming" / f"wind_2023-05-{day:02d}.nc"
    files.write(path, file(seed, day, packing), unlimited=("time",))


def truth(seed: int, days: int, odd: int | None = None) -> xr.Dataset:
    parts = [file(seed, day) for day in range(1, days + 1)]
    return files.truth([*parts, *([file(seed, odd, ODD)] if odd else [])])


def make(folder: Path, seed: int) -> None:
    for day in range(1, 7):
        write(folder, seed, day)
