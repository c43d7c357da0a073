"""Operation: the archive lies elsewhere now, the repository has to follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import by_hand, files

KIND = "operation"
EXPECTS = [
    "wave.icechunk reads from disk2 with the containers that it saved; swh is virtual.",
    "No reference of main leads to disk1, which is not there, and the first commits are kept.",
]


def archive(seed: int) -> dict[str, files.File]:
    made = {}
    for year in (2001, 2002, 2003):
        random = np.random.default_rng([seed, year])
        packing = {"scale_factor": 0.001, "add_offset": 10.0}
        attrs = {"units": "m", "long_name": "significant wave height"}
        made[f"{year}/swh.nc"] = {
            "time": files.clock(np.arange(6), f"{year}-01-01 00:00:00", "days"),
            **files.grid(),
            "swh": files.counts(random, (6, 6, 8), packing, **attrs),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    old = folder / "disk1"
    paths = [files.write(old / name, file) for name, file in archive(seed).items()]
    vds = by_hand.combined(paths[:2])
    vds.time.encoding["chunks"] = (64,)
    repo = by_hand.store(vds, folder / "wave.icechunk", old, "2001 and 2002")
    vds = by_hand.combined([paths[2]]).drop_vars(["lat", "lon"])
    by_hand.write(repo, vds, "2003", append_dim="time")
    old.rename(folder / "disk2")
