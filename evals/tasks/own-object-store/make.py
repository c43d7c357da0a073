"""Cloud: an S3-compatible server without TLS, keys under other names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "cloud"
EMULATOR = "s3-compatible"
EXPECTS = [
    "soil.icechunk opens with the keys alone: endpoint and region are saved with the container.",
    "All six days with the values of the files; swvl is virtual; no key is in the repository.",
]


def archive(seed: int) -> dict[str, files.File]:
    made = {}
    mask = np.random.default_rng(seed).integers(0, 2, (6, 8)).astype("f4")
    for day in range(1, 7):
        random = np.random.default_rng([seed, day])
        packing = {"scale_factor": 0.00002, "add_offset": 0.3}
        attrs = {"units": "m3 m-3", "long_name": "soil moisture"}
        made[f"swvl_2024-06-{day:02d}.nc"] = {
            "time": files.clock([0, 6, 12, 18], f"2024-06-{day:02d} 00:00:00"),
            **files.grid(),
            "swvl": files.counts(random, (4, 6, 8), packing, **attrs),
            "porosity": Variable(("lat", "lon"), mask, {"long_name": "porosity"}),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    """Write what the bucket holds: the emulator takes it from there."""
    for name, file in archive(seed).items():
        files.write(folder / "era5" / name, file)
