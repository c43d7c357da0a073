"""Routine: daily files, packed alike, times counted from each day's midnight, a static mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "routine"
EXPECTS = [
    "store.icechunk opens with Icechunk and xarray alone and says where its virtual chunks lie.",
    "All 48 steps of 12 days are there in order, with values and attributes of the files.",
    "The mask has no time dimension.",
    "t2m is virtual: nothing was copied.",
]
DAYS = 12
PACKING = {"scale_factor": 0.002, "add_offset": 280.0}


def archive(seed: int, days: range = range(1, DAYS + 1)) -> dict[str, files.File]:
    """Files by name."""
    mask = np.random.default_rng(seed).integers(0, 2, (6, 8)).astype("f4")
    made = {}
    for day in days:
        random = np.random.default_rng([seed, day])
        attrs = {"units": "K", "long_name": "2 metre temperature"}
        made[f"t2m_2023-03-{day:02d}.nc"] = {
            "time": files.clock([0, 6, 12, 18], f"2023-03-{day:02d} 00:00:00"),
            **files.grid(),
            "t2m": files.counts(random, (4, 6, 8), PACKING, **attrs),
            "mask": Variable(("lat", "lon"), mask, {"long_name": "land mask"}),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    for name, file in archive(seed).items():
        files.write(folder / "data" / name, file, {"title": "2 m temperature"})
