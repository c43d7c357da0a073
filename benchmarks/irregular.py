"""Forty years of monthly files, in each of four layouts, against the same in regular chunks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import xarray as xr
import zarr
from vzarr import build

from benchmarks.measuring import Floor, Table, in_turns

DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
REGULAR = "regular: 30 days, one chunk"
LAYOUTS = {
    REGULAR: None,
    "one chunk a file": "rectilinear",
    "chunks of 10 days": "rectilinear",
    "contiguous": None,
    "NetCDF3": None,
}
"""Layouts, and the way that is asked for."""
BUILD, OPEN = 1.5, 2.0
REASONS = {
    "chunks of 10 days": "two thirds of the files end in a partial chunk, which is copied",
    "NetCDF3": "each file is parsed whole, HDF5 of a known layout by what can differ",
}
"""Why a layout takes longer to build, by a profile of both."""


def tables(folder: Path, small: bool) -> Iterable[Table]:
    count = 12 if small else 480
    rounds = 1 if small else 2
    files = {layout: _write(folder / str(n), layout, count) for n, layout in enumerate(LAYOUTS)}
    table = Table(
        f"{count} monthly files of daily data",
        f"Seconds, median of {rounds}; 20 x 40 cells; regular: 30 days in every file.",
    )
    number = iter(range(10**6))

    def make(layout: str) -> None:
        build(
            files[layout],
            folder / f"store_{next(number)}",
            irregular=LAYOUTS[layout],
            concat_dim="time",
        )

    build(files[REGULAR][:2], folder / "warm")  # imports
    built = in_turns({name: (lambda name=name: make(name)) for name in LAYOUTS}, rounds)
    stores = {}
    for n, (layout, way) in enumerate(LAYOUTS.items()):
        stores[layout] = folder / f"read_{n}"
        build(files[layout], stores[layout], irregular=way, concat_dim="time")
    opened = in_turns({name: (lambda s=store: _open(s)) for name, store in stores.items()}, rounds)
    for layout in LAYOUTS:
        table.rows.append(
            {
                "layout": layout,
                "build": built[layout].seconds,
                "against regular": round(built[layout].seconds / built[REGULAR].seconds, 2),
                "open and one value": opened[layout].seconds,
                "against regular ": round(opened[layout].seconds / opened[REGULAR].seconds, 2),
            }
        )
        if layout != REGULAR:
            ratio = built[layout].seconds / built[REGULAR].seconds
            why = REASONS.get(layout, "")
            table.floors.append(Floor(f"build, {layout}", ratio, BUILD, why=why))
            ratio = opened[layout].seconds / opened[REGULAR].seconds
            table.floors.append(Floor(f"open and one value, {layout}", ratio, OPEN))
    yield table


def _write(folder: Path, layout: str, count: int) -> list[str]:
    folder.mkdir(parents=True)
    paths, start = [], 0
    random = np.random.default_rng(1)
    for number in range(count):
        days = 30 if layout == REGULAR else DAYS[number % 12]
        path = folder / f"pr_{number:03}.nc"
        kind = "NETCDF3_64BIT_OFFSET" if layout == "NetCDF3" else "NETCDF4"
        chunk = 10 if layout == "chunks of 10 days" else days
        is_plain = layout in ("contiguous", "NetCDF3")
        options = {} if is_plain else {"zlib": True, "chunksizes": (chunk, 20, 40)}
        with netCDF4.Dataset(path, "w", format=kind) as file:
            for name, size in (("time", days), ("lat", 20), ("lon", 40)):
                file.createDimension(name, size)
                coordinate = file.createVariable(name, "f8", (name,))
                coordinate[:] = np.arange(size) + (start if name == "time" else 0)
            file["time"].units = "days since 1980-01-01"
            pr = file.createVariable("pr", "f4", ("time", "lat", "lon"), **options)
            pr[:] = random.random((days, 20, 40))
        paths.append(str(path))
        start += days
    return paths


def _open(store: Path) -> float:
    zarr.config.set({"array.rectilinear_chunks": True})
    storage = icechunk.local_filesystem_storage(str(store))
    config = icechunk.Repository.fetch_config(storage)
    prefixes = config.virtual_chunk_containers or {}
    access = dict.fromkeys(prefixes, icechunk.credentials.LocalFileSystemAccess)
    repo = icechunk.Repository.open(storage, config, authorize_virtual_chunk_access=access)
    session = repo.readonly_session("main")
    with xr.open_zarr(session.store, consolidated=False, chunks=None) as dataset:
        return float(dataset.pr[-1, 3, 4])
