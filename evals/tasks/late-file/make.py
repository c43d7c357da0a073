"""Growth: a file that comes late and belongs before others; a tag that must not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import by_hand, files
from kit.files import Variable

KIND = "growth"
EXPECTS = [
    "main has all seven days in order, with the values of the files; o3 is virtual.",
    "The tag paper-v1 reads as before, and the first commits are still in main's history.",
]
LATE = 4
DAYS = range(1, 8)


def archive(seed: int) -> dict[int, files.File]:
    """Files by day."""
    made = {}
    for day in DAYS:
        random = np.random.default_rng([seed, day])
        packing = {"scale_factor": 0.01, "add_offset": 300.0}
        attrs = {"units": "DU", "long_name": "total ozone"}
        made[day] = {
            "time": files.clock([3, 9, 15, 21], f"2023-02-{day:02d} 00:00:00"),
            **files.grid(),
            "o3": files.counts(random, (4, 6, 8), packing, **attrs),
            "area": Variable(("lat", "lon"), np.full((6, 8), 2.5), {"units": "m2"}),
        }
    return made


def truth(seed: int, late: bool = True) -> xr.Dataset:
    return files.truth([file for day, file in archive(seed).items() if late or day != LATE])


def make(folder: Path, seed: int) -> None:
    paths = {
        day: files.write(folder / "data" / f"o3_2023-02-{day:02d}.nc", file)
        for day, file in archive(seed).items()
    }
    early = [path for day, path in paths.items() if day < LATE]
    vds = by_hand.combined(early)
    vds.time.encoding["chunks"] = (64,)
    repo = by_hand.store(vds, folder / "ozone.icechunk", folder / "data", "days 1 to 3")
    for day in range(LATE + 1, DAYS[-1] + 1):
        vds = by_hand.combined([paths[day]]).drop_vars(["lat", "lon", "area"])
        by_hand.write(repo, vds, f"day {day}", append_dim="time")
    repo.create_tag("paper-v1", snapshot_id=repo.lookup_branch("main"))
