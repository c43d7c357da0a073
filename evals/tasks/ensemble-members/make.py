"""Routine: ensemble members to be stacked along a new dimension, numbers in the files' names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "routine"
EXPECTS = [
    "ensemble.icechunk has tas (member, time, lat, lon) for the runs 1 to 12.",
    "Each member's values are those of its own file: run 10 is not taken for run 2.",
    "tas is virtual.",
]
MEMBERS = 12


def archive(seed: int) -> dict[int, files.File]:
    """Files by number of the run."""
    made = {}
    for member in range(1, MEMBERS + 1):
        random = np.random.default_rng([seed, member])
        values = random.normal(280, 5, (5, 6, 8)).astype("f4")
        made[member] = {
            "time": files.clock(np.arange(5), "2020-07-01 00:00:00", "days"),
            **files.grid(),
            "tas": Variable(
                ("time", "lat", "lon"),
                values,
                {"units": "K", "long_name": "air temperature"},
                {"zlib": True, "chunksizes": (5, 6, 8)},
            ),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    members = archive(seed)
    parts = [files.truth([file]) for file in members.values()]
    both = xr.concat(
        parts, "member", data_vars=["tas"], coords="minimal", compat="override", join="exact"
    )
    return both.assign_coords(member=list(members))


def make(folder: Path, seed: int) -> None:
    for member, file in archive(seed).items():
        files.write(folder / "runs" / f"tas_run{member}.nc", file, {"experiment": "july"})
