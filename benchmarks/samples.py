"""Seeded sample files, made faster than the libraries that they are for would write them.

Chunks go into the files as they will lie there, so nothing is compressed; daily files are copies of
one file that the netCDF-C library wrote, with other numbers in the same places.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import h5py
import netCDF4
import numpy as np

STEPS_PER_DAY = 4
EPOCH = date(1990, 1, 1)
ARCHIVED = datetime(2024, 2, 1, tzinfo=UTC).timestamp()
"""Time of change of every file. Icechunk counts a file written in this second as changed."""
PAGE = 4 * 1024**2
"""Bytes in a page of a file with paged file space."""


@dataclass(frozen=True)
class Grid:
    latitudes: int
    longitudes: int


TINY = Grid(8, 12)
"""A daily file of 16 kB."""
SMALL = Grid(361, 360)
"""A daily file of 1.2 MB."""


def write_days(
    folder: Path, count: int, grid: Grid = TINY, first: date = date(2000, 1, 1)
) -> list[Path]:
    """Write ERA5-like daily files ``t2m_YYYY-MM-DD.nc``: the paths, in time order.

    As those of the tests' ``files`` world: packed int16 ``t2m`` (time=4, latitude, longitude) with
    shuffle and deflate, a chunk a step; ``time`` with ``time_bnds``; a static mask ``lsm``; a
    scalar ``crs``. Every file has its own times and values.
    """
    folder.mkdir(parents=True, exist_ok=True)
    template = bytearray(_write_template(folder / "template.nc", grid))
    places = _find_places(folder / "template.nc")
    (folder / "template.nc").unlink()
    hours = np.arange(0, 24, 24 // STEPS_PER_DAY)
    bounds = np.stack([hours, hours + 24 // STEPS_PER_DAY], axis=1)
    paths = []
    for number in range(count):
        day = first + timedelta(days=number)
        start = 24 * (day - EPOCH).days
        random = np.random.default_rng(day.toordinal())
        steps = [_deflated(_field(random, grid)) for _ in hours]
        parts = [(start + hours).astype("<i4"), (start + bounds).astype("<f8"), *steps]
        for (offset, size), part in zip(places, map(bytes, parts), strict=True):
            if len(part) != size:
                raise ValueError(f"{len(part)} bytes do not fit into {size}")
            template[offset : offset + size] = part
        path = folder / f"t2m_{day.isoformat()}.nc"
        path.write_bytes(template)
        os.utime(path, (ARCHIVED, ARCHIVED))
        paths.append(path)
    return paths


def _field(random: np.random.Generator, grid: Grid) -> np.ndarray:
    return random.integers(-4000, 4000, (grid.latitudes, grid.longitudes), dtype="<i2")


def _deflated(values: np.ndarray) -> bytes:
    """What HDF5's shuffle and deflate make of a chunk, at the level that only stores: quick, and
    of the same length for all chunks of a shape."""
    shuffled = values.view("u1").reshape(-1, values.itemsize).T.tobytes()
    return zlib.compress(shuffled, 0)


def _write_template(path: Path, grid: Grid) -> bytes:
    with netCDF4.Dataset(path, "w") as file:
        file.title = "ERA5-like 2 m temperature"
        sizes = {"latitude": grid.latitudes, "longitude": grid.longitudes, "nv": 2}
        for name, size in {"time": STEPS_PER_DAY, **sizes}.items():
            file.createDimension(name, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units = f"hours since {EPOCH.isoformat()} 00:00:00"
        time.calendar = "proleptic_gregorian"
        time.bounds = "time_bnds"
        time[:] = 0
        file.createVariable("time_bnds", "f8", ("time", "nv"))[:] = 0
        for name, values, units in [
            ("latitude", np.linspace(90, -90, grid.latitudes), "degrees_north"),
            ("longitude", np.linspace(0, 359, grid.longitudes), "degrees_east"),
        ]:
            coordinate = file.createVariable(name, "f4", (name,))
            coordinate.units = units
            coordinate[:] = values
        t2m = file.createVariable(
            "t2m",
            "i2",
            ("time", "latitude", "longitude"),
            zlib=True,
            shuffle=True,
            chunksizes=(1, grid.latitudes, grid.longitudes),
            fill_value=-32767,
        )
        t2m.units = "K"
        t2m.long_name = "2 metre temperature"
        t2m.grid_mapping = "crs"
        t2m.setncatts({"scale_factor": 0.01, "add_offset": 280.0})
        land = file.createVariable("lsm", "i1", ("latitude", "longitude"))
        land.long_name = "land-sea mask"
        land[:] = np.random.default_rng(0).integers(0, 2, (grid.latitudes, grid.longitudes))
        crs = file.createVariable("crs", "i4", ())
        crs.grid_mapping_name = "latitude_longitude"
        crs[...] = 1
    step = _deflated(_field(np.random.default_rng(0), grid))
    with h5py.File(path, "r+") as file:
        for number in range(STEPS_PER_DAY):
            file["t2m"].id.write_direct_chunk((number, 0, 0), step)
    return path.read_bytes()


def _find_places(path: Path) -> list[tuple[int, int]]:
    """Offset and length, in bytes, of what differs between days: times, bounds, and the steps."""
    with h5py.File(path, "r") as file:
        contiguous = [file["time"].id, file["time_bnds"].id]
        places = [(array.get_offset(), array.get_storage_size()) for array in contiguous]
        chunks = [file["t2m"].id.get_chunk_info(number) for number in range(STEPS_PER_DAY)]
    return [*places, *((chunk.byte_offset, chunk.size) for chunk in chunks)]


def write_series(
    path: Path,
    *,
    steps: int,
    variables: int = 1,
    tiles: int = 1,
    side: int = 32,
    paged: bool = False,
) -> Path:
    """Write one HDF5 file as a series grows: step by step, every variable's chunks in turn.

    ``v000`` and so on are int16 (time=steps, y=x=tiles*side), packed and shuffled, with chunks of
    (1, side, side): ``steps * tiles**2`` chunks a variable. The nodes of the B-trees that index
    the chunks are allocated in between, all over the file; with ``paged`` file space they
    lie together in pages of their own.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    space = {"fs_strategy": "page", "fs_page_size": PAGE} if paged else {}
    noise = np.random.default_rng(steps).bytes(2 * side**2 + 65536)
    width = tiles * side
    with h5py.File(path, "w", **space) as file:
        axes = {"time": np.arange(steps, dtype="f8"), "y": np.arange(width, dtype="f4")}
        axes["x"] = axes["y"]
        for name, values in axes.items():
            limit = {"maxshape": (None,), "chunks": (steps,)} if name == "time" else {}
            file.create_dataset(name, data=values, **limit).make_scale(name)
        file["time"].attrs["units"] = "hours since 2000-01-01"
        arrays = []
        for number in range(variables):
            array = file.create_dataset(
                f"v{number:03d}",
                (steps, width, width),
                "<i2",
                maxshape=(None, width, width),
                chunks=(1, side, side),
                shuffle=True,
            )
            array.attrs["scale_factor"] = 0.01
            for axis, name in enumerate(axes):
                array.dims[axis].attach_scale(file[name])
            arrays.append(array.id)
        corners = [(row * side, column * side) for row in range(tiles) for column in range(tiles)]
        size, count = 2 * side**2, 0
        for step in range(steps):
            for array in arrays:
                for row, column in corners:
                    begin = 16 * count % 65536
                    array.write_direct_chunk((step, row, column), noise[begin : begin + size])
                    count += 1
    os.utime(path, (ARCHIVED, ARCHIVED))
    return path


def write_kinds(folder: Path, small: bool) -> dict[str, Path]:
    """One file of each kind that a reader meets on an object store, by what it is called.

    In full size 1, 51, 59, 131 and 134 MB; ``small`` are a tenth or less. The chunk index of the
    fourth lies in hundreds of places: a reader that keeps less than the whole file reads it again
    for each of the four variables.
    """
    side, steps, many = (100, 5, 5) if small else (320, 25, 80)
    (day,) = write_days(folder, 1, SMALL)
    fields = {"variables": 10, "steps": steps, "side": side}
    series = {"variables": 4, "steps": many, "tiles": 10, "side": 45}
    return {
        "daily file": day,
        "large": write_series(folder / "fields.nc", **fields),
        "large, paged": write_series(folder / "fields_paged.nc", **fields, paged=True),
        "many chunks, scattered index": write_series(folder / "series.nc", **series),
        "many chunks, paged": write_series(folder / "series_paged.nc", **series, paged=True),
    }
