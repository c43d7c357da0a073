"""Cloud: private buckets in a region, keys in the environment, a script for others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "cloud"
EMULATOR = "s3"
EXPECTS = [
    "s3://acme-virtual-stores/era5 opens with keys of the environment and has all six days.",
    "t2m is virtual; the container that is saved has the region.",
    "python read_mean.py prints `mean: NUMBER`; no key stands in a file of the folder.",
]


def archive(seed: int) -> dict[str, files.File]:
    made = {}
    mask = np.random.default_rng(seed).integers(0, 2, (6, 8)).astype("f4")
    for day in range(1, 7):
        random = np.random.default_rng([seed, day])
        packing = {"scale_factor": 0.002, "add_offset": 270.0}
        attrs = {"units": "K", "long_name": "2 metre temperature"}
        made[f"t2m_2024-01-{day:02d}.nc"] = {
            "time": files.clock([0, 6, 12, 18], f"2024-01-{day:02d} 00:00:00"),
            **files.grid(),
            "t2m": files.counts(random, (4, 6, 8), packing, **attrs),
            "lsm": Variable(("lat", "lon"), mask, {"long_name": "land-sea mask"}),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    """Write what the bucket holds: the emulator takes it from there."""
    for name, file in archive(seed).items():
        files.write(folder / "era5" / name, file)
