"""Archives of small files that a test changes as their owners do, and what a store must show.

A ``Layout`` is what all files of an archive share, an ``Edition`` one file's content. ``truth``
opens files as xarray does by default, and joins them as ``xarray.concat`` does: nothing of the
tool is in it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import netCDF4
import numpy as np
import xarray as xr

MEMBER = "member"
"""The new dimension of files without any record coordinate."""


@dataclass(frozen=True)
class Layout:
    """What all files of an archive share.

    ``record``: "time" for a coordinate of ``steps`` days a file, "scalar" for one that becomes the
    coordinate, "none" for files that are told apart by their names alone. ``groups`` hold the same
    variables; ``still`` is a root above them that does not grow. ``coordinates``: 2-D and scalar
    ones are named by the "variables", by the "group", by "both", or there are none ("").
    ``telling``: attributes name the edition. ``cut``: a folder for each few days.
    """

    record: str = "time"
    groups: tuple[str, ...] = ("",)
    still: bool = False
    steps: int = 2
    chunk: int = 1
    packed: bool = True
    coordinates: str = "both"
    static: bool = True
    bounds: bool = True
    text: bool = False
    classic: bool = False
    telling: bool = True
    cut: bool = True

    @property
    def dimension(self) -> str:
        return MEMBER if self.record == "none" else "time"

    @property
    def rooms(self) -> tuple[str, ...]:
        """All groups; the root also where it has attributes only."""
        return tuple(dict.fromkeys(("", *self.groups)))

    def name_of(self, start: int) -> str:
        """Where a file lies below the archive."""
        folder = f"2024/{start // 4 + 1:03d}/" if self.cut else ""
        return f"{folder}f{start:04d}.nc"


@dataclass(frozen=True)
class Edition:
    """One file: ``steps`` days from ``start``; another ``number`` has other values.

    ``offset`` is the packing's, ``mask`` what the static variable holds: files that differ in these
    cannot share arrays.
    """

    start: int
    steps: int
    number: int = 0
    chunk: int = 1
    offset: float = 10.0
    mask: int = 1

    @property
    def days(self) -> range:
        return range(self.start, self.start + self.steps)


def edition(layout: Layout, start: int, **changes: Any) -> Edition:
    steps = layout.steps if layout.record == "time" else 1
    return replace(Edition(start, steps, chunk=layout.chunk), **changes)


def write(path: Path, layout: Layout, content: Edition) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    file_format = "NETCDF3_64BIT_OFFSET" if layout.classic else "NETCDF4"
    with netCDF4.Dataset(path, "w", format=file_format) as file:
        file.title = "An archive"
        if layout.telling:
            file.revision = np.int32(content.number)
        file.first_day = np.int32(content.start)
        if layout.still:
            _write_static(file, layout, content)
        for number, name in enumerate(layout.groups):
            _write_room(file.createGroup(name) if name else file, layout, content, number)


def _write_static(room: netCDF4.Dataset, layout: Layout, content: Edition) -> None:
    for name, size in (("y", 2), ("x", 3)):
        room.createDimension(name, size)
    room.createVariable("x", "f8", ("x",))[:] = [0.0, 0.5, 1.0]
    room.createVariable("crs", "i4", ())[...] = 4326
    room["crs"].grid_mapping_name = "latitude_longitude"
    if layout.telling:
        room["crs"].edition = np.int32(content.number)
        room["x"].first_day = np.int32(content.start)
    if layout.static:
        room.createVariable("mask", "i4", ("y", "x"))[:] = content.mask * np.arange(6).reshape(2, 3)
    if layout.coordinates:
        room.createVariable("lon2d", "f8", ("y", "x"))[:] = np.arange(6.0).reshape(2, 3) / 4
        room.createVariable("height", "f4", ())[...] = 2.0
        room["height"].units = "m"
        if layout.coordinates in ("group", "both"):
            room.setncattr("coordinates", "lon2d height")


def _write_room(room: netCDF4.Dataset, layout: Layout, content: Edition, number: int) -> None:
    _write_static(room, layout, content)
    grows = layout.record == "time"
    lead = ("time",) if grows else ()
    chunks = {} if layout.classic else {"chunksizes": (content.chunk, 2, 3)[not grows :]}
    if grows:
        room.createDimension("time", None if layout.classic else content.steps)
    if layout.record != "none":
        time = room.createVariable("time", "f8", lead)
        time.units, time.calendar = "days since 2000-01-01", "standard"
        if layout.bounds and grows:
            time.bounds = "time_bnds"
            room.createDimension("nv", 2)
            ends = room.createVariable("time_bnds", "f8", ("time", "nv"))
        time[...] = np.array(content.days, "f8") if grows else float(content.start)
        if layout.bounds and grows:
            ends[:] = np.array([[day, day + 1] for day in content.days], "f8")
    if grows:
        room.createVariable("count", "i4", ("time",))[:] = [
            day + 1000 * content.number for day in content.days
        ]
        if layout.text and not layout.classic:
            room.createVariable("status", str, ("time",))[:] = np.array(  # of several lengths
                [f"day {day} of {content.number}" for day in content.days], object
            )
    values = 20.0 + np.arange(6).reshape(2, 3) + 100 * number + 32 * content.number
    values = np.stack([values + day / 2 for day in content.days])
    v = room.createVariable("v", "i2" if layout.packed else "f4", (*lead, "y", "x"), **chunks)
    v.units = "K"
    if layout.telling:
        v.comment = f"edition {content.number}"
    if layout.coordinates in ("variables", "both"):
        v.coordinates = "lon2d height"
    if layout.packed:
        v.scale_factor, v.add_offset = 0.5, content.offset
    v[:] = values if grows else values[0]


def write_wind(path: Path, layout: Layout, content: Edition) -> None:
    """A file of another product for the records of a file without groups: ``wind`` alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.title, file.first_day = "An archive", np.int32(content.start)
        if layout.telling:
            file.revision = np.int32(content.number)
        for name, size in (("time", None), ("y", 2), ("x", 3)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 2000-01-01", "standard"
        if layout.bounds:
            time.bounds = "time_bnds"
        time[:] = np.array(content.days, "f8")
        options = {"chunksizes": (layout.chunk, 2, 3), "fill_value": -99}
        wind = file.createVariable("wind", "f4", ("time", "y", "x"), **options)
        wind[:] = wind_of(content)


def wind_of(content: Edition) -> np.ndarray:
    """What ``write_wind`` writes."""
    return np.arange(6.0).reshape(2, 3) + np.array(content.days)[:, None, None] / 8


@lru_cache(maxsize=512)
def _opened(layout: Layout, content: Edition) -> dict[str, xr.Dataset]:
    """A file's groups, loaded."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "f.nc"
        write(path, layout, content)
        found = {}
        for room in layout.rooms:
            with xr.open_dataset(path, group=room or None, engine="netcdf4") as dataset:
                found[room] = dataset.load()
    return found


@lru_cache(maxsize=512)
def truth(layout: Layout, files: tuple[Edition, ...]) -> dict[str, xr.Dataset]:
    """What a store of these files, in their order, has to show, by group."""
    found = {}
    for room in layout.rooms:
        parts = [_opened(layout, content)[room] for content in files]
        if room in layout.groups:
            found[room] = xr.concat(
                [_with_record(part, layout) for part in parts],
                dim=layout.dimension,
                data_vars="minimal",
                coords="minimal",
                compat="equals",
                join="exact",
            )
        else:
            found[room] = parts[0]
    return found


def shared_attributes(
    layout: Layout, files: Iterable[Edition]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Attributes that all files have with the same value, by group and variable ("": the group)."""
    parts = [_opened(layout, content) for content in files]
    return {
        (room, name): common([(part[room][name] if name else part[room]).attrs for part in parts])
        for room in layout.rooms
        for name in ("", *map(str, parts[0][room].variables))
    }


def common(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes that all have, with the same value."""
    first, *others = attributes
    return {
        key: value
        for key, value in first.items()
        if all(key in other and np.array_equal(value, other[key]) for other in others)
    }


def _with_record(part: xr.Dataset, layout: Layout) -> xr.Dataset:
    """A file without the dimension is one step along it."""
    if layout.record == "time":
        return part
    grown = {
        name: part[name].variable.expand_dims(layout.dimension)
        for name in part.data_vars
        if part[name].ndim
    }
    if layout.record == "scalar":
        part = part.drop_vars("time").assign_coords(time=("time", [part.time.values]))
    return part.assign(grown)


@dataclass
class Archive:
    """Files on disk. ``files`` by their place below ``folder``: content and time of change."""

    folder: Path
    layout: Layout
    clock: float
    files: dict[str, tuple[Edition, float]] = field(default_factory=dict)

    def put(self, name: str, content: Edition) -> None:
        write(self.folder / name, self.layout, content)
        self.touch(name, content)

    def touch(self, name: str, content: Edition | None = None) -> None:
        """Give a file a time of change of its own, seconds after all before it.

        Icechunk compares whole seconds, so files of one second could not be told apart.
        """
        self.clock += 5
        os.utime(self.folder / name, (self.clock, self.clock))
        self.files[name] = (content or self.files[name][0], self.clock)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()
        del self.files[name]

    def move(self, folder: Path) -> None:
        self.folder.rename(folder)
        self.folder = folder

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def name(self, url: str) -> str:
        return url.removeprefix(f"file://{self.folder}/")
