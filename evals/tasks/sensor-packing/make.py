"""Silent trap: from the seventh month on the same variable is packed with other numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files

KIND = "silent trap"
EXPECTS = [
    "sst.icechunk has sst in kelvin for all months, as each file decodes by its own packing.",
    "At least the months with one packing stay virtual.",
]
BEFORE = {"scale_factor": 0.001, "add_offset": 285.0}
AFTER = {"scale_factor": 0.002, "add_offset": 288.0}
MONTHS = 9
CHANGED = 7
"""The first month with the other packing."""


def archive(seed: int) -> dict[str, files.File]:
    """Files by name."""
    made = {}
    for month in range(1, MONTHS + 1):
        random = np.random.default_rng([seed, month])
        attrs = {"units": "K", "long_name": "sea surface temperature"}
        made[f"sst_2022-{month:02d}.nc"] = {
            "time": files.clock(np.arange(20), f"2022-{month:02d}-01 00:00:00", "days"),
            **files.grid(),
            "sst": files.counts(random, (20, 6, 8), BEFORE if month < CHANGED else AFTER, **attrs),
        }
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(list(archive(seed).values()))


def make(folder: Path, seed: int) -> None:
    for name, file in archive(seed).items():
        files.write(folder / "sst" / name, file)
