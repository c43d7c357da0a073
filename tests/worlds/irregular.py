"""Small archives whose files differ as those of real ones do."""

from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np

from worlds.samples import ARCHIVED

DAYS = (31, 29, 31, 30)


def write_all(folder: Path) -> None:
    """Write everything that the ``irregular`` world shows under ``data/irregular/``."""
    for month, days in enumerate(DAYS):
        start = sum(DAYS[:month])
        for name, chunk in (("months", days), ("tens", 10)):
            with _new(folder / name / f"pr_2024-{month + 1:02d}.nc", start, days) as file:
                _add(file, "pr", month, chunk)
    for number in range(2):
        with _new(folder / "levels" / f"pr_{number}.nc", 10 * number, 10) as file:
            _add(file, "pr", number, 5, complevel=1 + 8 * number)
        for seed, name in enumerate(("prcp", "tmax")):
            with _new(folder / "variables" / f"{name}_{1980 + number}.nc", 10 * number, 10) as file:
                _add(file, name, 10 * seed + number, 5)
        with _new(folder / "later" / f"rain_{number}.nc", 10 * number, 10) as file:
            _add(file, "rain", number, 5)
            if number:
                _add(file, "snow", 20 + number, 5)
        with _new(folder / "codecs" / f"pr_{number}.nc", 10 * number, 10) as file:
            _add(file, "pr", number, 5, shuffle=not number)
    for number in range(2):
        path = folder / "overlap" / f"pr_{number}.nc"
        with _new(path, 8 * number, 10) as file:
            _add(file, "pr", number, 1)
        path = folder / "names" / f"pr_2024-01-0{number + 1}.nc"
        with _new(path) as file:
            v = file.createVariable("pr", "f4", ("lat", "lon"), zlib=True, chunksizes=(4, 6))
            v[:] = np.random.default_rng(number).random((4, 6))
    for number, offset in enumerate((292.17, 288.44, 288.75)):
        with _new(folder / "packed" / f"sst_{number}.nc", number, 1) as file:
            sst = file.createVariable(
                "sst", "i2", ("time", "lat", "lon"), zlib=True, chunksizes=(1, 4, 6), fill_value=-99
            )
            sst.scale_factor, sst.add_offset = 0.001 * (1 + number), offset
            sst[:] = offset + np.random.default_rng(number).uniform(-3, 3, (1, 4, 6))
    for path in folder.rglob("*.nc"):
        os.utime(path, (ARCHIVED.timestamp(), ARCHIVED.timestamp()))


def _new(path: Path, start: int = 0, days: int | None = None) -> netCDF4.Dataset:
    """A file with coordinates, without time if ``days`` is None."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = netCDF4.Dataset(path, "w")
    if days is not None:
        file.createDimension("time", days)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2024-01-01"
        time[:] = start + np.arange(days)
    for name, size in (("lat", 4), ("lon", 6)):
        file.createDimension(name, size)
    file.createVariable("lat", "f8", ("lat",))[:] = np.arange(4.0)
    file.createVariable("lon", "f8", ("lon",))[:] = np.arange(6.0)
    return file


def _add(file: netCDF4.Dataset, name: str, seed: int, chunk: int, **options: object) -> None:
    shape = tuple(file.dimensions[dim].size for dim in ("time", "lat", "lon"))
    options = {"zlib": True, "chunksizes": (chunk, 4, 6), "fill_value": np.nan, **options}
    v = file.createVariable(name, "f4", ("time", "lat", "lon"), **options)
    v[:] = np.random.default_rng(seed).random(shape)
