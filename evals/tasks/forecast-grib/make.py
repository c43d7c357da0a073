"""Format: GRIB2, a file for each lead time, temperature on levels and near the ground."""

from __future__ import annotations

from pathlib import Path

import eccodes
import numpy as np
import xarray as xr
from kit import files

KIND = "format"
EXPECTS = [
    "ANSWER.md names a variable on pressure levels and one at 2 m in fc.icechunk.",
    "Both have the five valid times in order, and the values of ecCodes at each time and level.",
    "Both are virtual.",
]
STEPS = (0, 6, 12, 18, 24)
LEVELS = (1000, 850, 500)
"""In hPa."""
SHAPE = (6, 8)
GRID = {
    "gridType": "regular_ll", "Ni": 8, "Nj": 6, "latitudeOfFirstGridPointInDegrees": 50.0,
    "longitudeOfFirstGridPointInDegrees": 0.0, "latitudeOfLastGridPointInDegrees": 45.0,
    "longitudeOfLastGridPointInDegrees": 7.0, "iDirectionIncrementInDegrees": 1.0,
    "jDirectionIncrementInDegrees": 1.0,
}  # fmt: skip
RUN = {"centre": "kwbc", "tablesVersion": 2, "significanceOfReferenceTime": 1,
       "dataDate": 20240310, "dataTime": 0, "typeOfProcessedData": 1}  # fmt: skip


def messages(seed: int, step: int) -> list[tuple[int, bytes, np.ndarray]]:
    """Level in hPa (0: at 2 m), the message, and what ecCodes reads of it."""
    made = []
    for level in (*LEVELS, 0):
        random = np.random.default_rng([seed, step, level])
        surface = (
            {"typeOfFirstFixedSurface": 100, "scaledValueOfFirstFixedSurface": level * 100}
            if level
            else {"typeOfFirstFixedSurface": 103, "scaledValueOfFirstFixedSurface": 2}
        )
        keys = {"discipline": 0, "parameterCategory": 0, "parameterNumber": 0,
                "forecastTime": step, "scaleFactorOfFirstFixedSurface": 0}  # fmt: skip
        handle = eccodes.codes_grib_new_from_samples("GRIB2")
        for key, value in {**RUN, **GRID, **keys, **surface, "bitsPerValue": 16}.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, random.normal(270, 8, SHAPE).ravel())
        values = eccodes.codes_get_values(handle).reshape(SHAPE)
        made.append((level, eccodes.codes_get_message(handle), values))
        eccodes.codes_release(handle)
    return made


def truth(seed: int) -> xr.Dataset:
    """``levels`` (time, level, y, x) and ``near`` (time, y, x), from north to south."""
    steps = [messages(seed, step) for step in STEPS]
    times = np.datetime64("2024-03-10", "ns") + np.array(STEPS, "m8[h]")
    levels = np.array([[values for level, _, values in step if level] for step in steps])
    near = np.array([next(v for level, _, v in step if not level) for step in steps])
    variables = {
        "levels": (("time", "level", "y", "x"), levels),
        "near": (("time", "y", "x"), near),
    }
    return xr.Dataset(variables, {"time": times, "level": list(LEVELS)})


def make(folder: Path, seed: int) -> None:
    (folder / "fc").mkdir()
    for step in STEPS:
        path = folder / "fc" / f"fc_f{step}.grib2"
        path.write_bytes(b"".join(message for _, message, _ in messages(seed, step)))
        files.age(path)
