"""Scale: 150 small files on a server that counts requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files

KIND = "scale"
EMULATOR = "counting"
EXPECTS = [
    "profiles.icechunk has 300 steps of 150 files in order, with their values; conc is virtual.",
    "The server was asked at most 900 times in all.",
    "One step of conc is read with at most three requests.",
]
FILES = 150
LIMIT = 900


def archive(seed: int) -> dict[str, files.File]:
    made = {}
    random = np.random.default_rng(seed)
    for number in range(FILES):
        packing = {"scale_factor": 0.01, "add_offset": 90.0}
        attrs = {"units": "ug m-3", "long_name": "concentration"}
        day = str(np.datetime64("2018-01-01") + np.timedelta64(number, "D"))
        made[f"conc_{number:03d}.nc"] = {
            "time": files.clock([0, 12], f"{day} 00:00:00"),
            **files.grid(),
            "conc": files.counts(random, (2, 6, 8), packing, **attrs),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    """Write what the server holds."""
    for name, file in archive(seed).items():
        files.write(folder / name, file)
