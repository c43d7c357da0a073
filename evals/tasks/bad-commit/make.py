"""Operation: back to the commit before a bad one, which stays reachable, then go on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import by_hand, files
from kit.files import Variable

KIND = "operation"
EXPECTS = [
    "main shows days 1 to 5, each once, with the values of the files; depth is virtual.",
    "The commits of days 1 to 3 and 4 are behind main, the bad one is not.",
    "The tag broken shows the bad commit.",
]
GOOD, BAD = ("days 1 to 3", "day 4"), "day 5"


def archive(seed: int) -> list[files.File]:
    made = []
    for day in range(1, 6):
        random = np.random.default_rng([seed, day])
        packing = {"scale_factor": 0.01, "add_offset": 100.0}
        made.append(
            {
                "time": files.clock([0, 12], f"2024-12-{day:02d} 00:00:00"),
                **files.grid(),
                "depth": files.counts(random, (2, 6, 8), packing, units="cm", long_name="depth"),
                "height": Variable(("lat", "lon"), np.full((6, 8), 7.0), {"units": "m"}),
            }
        )
    return made


def truth(seed: int, days: int = 5) -> xr.Dataset:
    return files.truth(archive(seed)[:days])


def make(folder: Path, seed: int) -> None:
    data = folder / "data"
    paths = [
        files.write(data / f"snow_{day:02d}.nc", file) for day, file in enumerate(archive(seed), 1)
    ]
    vds = by_hand.combined(paths[:3])
    vds.time.encoding["chunks"] = (64,)
    repo = by_hand.store(vds, folder / "snow.icechunk", data, GOOD[0])
    for day, message in ((4, GOOD[1]), (4, BAD)):
        vds = by_hand.combined([paths[day - 1]]).drop_vars(["lat", "lon", "height"])
        by_hand.write(repo, vds, message, append_dim="time")
