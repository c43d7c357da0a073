"""Irregular archive: a variable begins with a later file, and has no fill value of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from kit import files
from kit.files import Variable

KIND = "irregular archive"
EXPECTS = [
    "model.icechunk has rain and snow over the whole period.",
    "snow is missing (NaN) before its first file, not zero and not 9.97e36.",
    "Both are virtual.",
]
FILES, BEGINS = 5, 2
"""``snow`` begins with this file, counted from 0."""


def archive(seed: int) -> list[files.File]:
    """Files, with ``snow`` in all: NaN where no file has it."""
    made = []
    for number in range(FILES):
        random = np.random.default_rng([seed, number])
        file: dict[str, Variable] = {
            "time": files.clock(10 * number + np.arange(10), "2020-11-01 00:00:00", "days"),
            **files.grid(),
        }
        for name in ("rain", "snow"):
            values = random.gamma(1, 2, (10, 6, 8)).astype("f4")
            if name == "snow" and number < BEGINS:
                values[:] = np.nan
            storage = {"zlib": True, "chunksizes": (5, 6, 8)}
            attrs = {"units": "mm d-1", "long_name": f"{name}fall rate"}
            file[name] = Variable(("time", "lat", "lon"), values, attrs, storage)
        made.append(file)
    return made


def truth(seed: int) -> xr.Dataset:
    return files.truth(archive(seed))


def make(folder: Path, seed: int) -> None:
    for number, file in enumerate(archive(seed)):
        there = {name: each for name, each in file.items() if name != "snow" or number >= BEGINS}
        files.write(folder / "model" / f"out_{number:02d}.nc", there)
