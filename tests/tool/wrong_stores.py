"""Each silent trap of ``references/traps-*.md`` as files and a store that reads wrong.

The stores are written as a user might who does not know the trap: with VirtualiZarr, xarray and
Icechunk and never with the tool, but with the metadata that the tool's ``build`` keeps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import icechunk
import netCDF4
import numpy as np
import pandas as pd
import xarray as xr
from kerchunk.hdf import SingleHdf5ToZarr
from making import Recipe
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser, KerchunkJSONParser, NetCDF3Parser, ZarrParser
from virtualizarr.parsers.utils import encode_cf_fill_value
from vzarr.sources.discover import look_up
from vzarr.sources.schemes import Access

Store = icechunk.IcechunkStore
COMBINE = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
ALL = h5py.h5s.ALL
RAMP = np.arange(11, 15, dtype="int32")


@dataclass
class Case:
    """Files in their order with their lengths, and what writes the wrong store over them.

    ``first`` is committed before it. ``variable`` and ``file`` must be named by whoever finds it.
    ``build_from`` is what a user gives to ``build``, if it is not the files.
    """

    files: list[Path]
    write: Callable[[icechunk.Session], None]
    variable: str = "v"
    file: str = ""
    lengths: list[int] = field(default_factory=lambda: [2, 2])
    dimension: str | None = "time"
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    build_from: list[Path] = field(default_factory=list)
    first: Callable[[icechunk.Session], None] | None = None


TRAPS: dict[str, Callable[[Path], Case]] = {}


def trap(name: str) -> Callable:
    def note(make: Callable[[Path], Case]) -> Callable[[Path], Case]:
        TRAPS[name] = make
        return make

    return note


def inject(case: Case, folder: Path) -> Path:
    """Write the wrong store beside its files, committed with the metadata of a build."""
    prefix = f"file://{folder}/"
    config = icechunk.RepositoryConfig.default()
    store = icechunk.local_filesystem_store(prefix)
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    repository = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(folder / "repo")),
        config,
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    session = repository.writable_session("main")
    if case.first is not None:
        case.first(session)
        session.commit("first")
        session = repository.writable_session("main")
    case.write(session)
    records = [
        {**look_up(f"file://{file}", Access()).as_record(), "length": length}
        for file, length in zip(case.files, case.lengths, strict=True)
    ]
    empty: dict[str, Any] = {"virtual": [], "loaded": [], "native": {}, "dropped": {}}
    metadata = {**empty, "concat_dim": case.dimension, "sources": records}
    if case.groups:
        metadata |= {"root": True, "groups": {n: {**empty, **g} for n, g in case.groups.items()}}
    session.commit("behind the tool's back", metadata={"virtual_zarr": metadata}, allow_empty=True)
    return folder / "repo"


def virtual(path: Path, parser: Any = None, **options: Any) -> xr.Dataset:
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parser = parser or (ZarrParser() if path.suffix == ".zarr" else HDFParser())
    return open_virtual_dataset(f"file://{path}", registry=registry, parser=parser, **options)


def combined(*paths: Path, options: dict | None = None, **more: Any) -> Callable:
    """Writes the files, opened virtually and concatenated along time."""

    def write(session: icechunk.Session) -> None:
        parts = [virtual(path, **(options or {})) for path in paths]
        xr.concat(parts, "time", **(COMBINE | more)).vz.to_icechunk(session.store)

    return write


def appended(*datasets: Callable[[], xr.Dataset], suppressed: type = KeyError) -> Callable:
    """Writes the first, appends the others, all in one commit."""

    def write(session: icechunk.Session) -> None:
        for number, dataset in enumerate(datasets):
            with suppress(suppressed):
                dataset().vz.to_icechunk(session.store, append_dim="time" if number else None)

    return write


def alone(path: Path, parser: Any = None, change: Callable = lambda vds: vds) -> Callable:
    """Writes one file, opened virtually and changed."""

    def write(session: icechunk.Session) -> None:
        change(virtual(path, parser)).vz.to_icechunk(session.store)

    return write


def opened(path: Path, *drop: str, **options: Any) -> Callable[[], xr.Dataset]:
    return lambda: virtual(path, **options).drop_vars(drop)


def pair(folder: Path, **second: Any) -> list[Path]:
    """Two files of two days; the second differs."""
    recipes = [Recipe(), Recipe(**({"start": 2} | second))]
    return [recipe.write(folder / f"f{n}.nc") for n, recipe in enumerate(recipes)]


def series(
    folder: Path, days: list[Any], chunk: int = 1, unlimited: bool = False, unit: str = "D"
) -> list[Path]:
    """Files with ``v`` along time; ``days`` holds each file's numbers."""
    files = []
    for number, part in enumerate(days):
        time = pd.Timestamp("2000-01-01") + pd.to_timedelta(list(part), unit)
        dataset = xr.Dataset({"v": ("time", np.float32(part) + 1)}, {"time": time})
        path = folder / f"f{number}.nc"
        encoding = {"v": {"chunksizes": (chunk,), "zlib": True}, "time": {"dtype": "float64"}}
        names = ["time"] if unlimited else []
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding, unlimited_dims=names)
        files.append(path)
    return files


def edit(path: Path, change: Callable[[netCDF4.Dataset], None]) -> None:
    with netCDF4.Dataset(path, "a") as file:
        change(file)


def single(path: Path, dimension: str | None = None, **more: Any) -> dict[str, Any]:
    """A case of one file."""
    return {"files": [path], "lengths": [1], "dimension": dimension, "file": path.name, **more}


# CF encoding ------------------------------------------------------------------------------------


@trap("T01")
def scale(folder: Path) -> Case:
    files = pair(folder, scale=0.25)
    return Case(files, combined(*files), file="f1.nc")


@trap("T02")
def fill(folder: Path) -> Case:
    files = pair(folder, fill=-5)
    edit(files[1], lambda file: file["v"].__setitem__((0, 0), np.ma.masked))
    return Case(files, combined(*files), file="f1.nc")


@trap("T03")
def units(folder: Path) -> Case:
    files = pair(folder, units="degC")
    return Case(files, combined(*files), file="f1.nc")


@trap("T56")
def packed_by_another(folder: Path) -> Case:
    files = pair(folder, scale=50.0, offset=400000.0)
    edit(files[1], lambda file: file["v"].__setitem__(slice(None), 400000.0))
    options = {"loadable_variables": ["time", "lat", "v"]}
    return Case(files, combined(*files, options=options), file="f1.nc")


# Time -------------------------------------------------------------------------------------------


@trap("T04")
def epochs(folder: Path) -> Case:
    files = pair(folder, epoch="2000-01-03")
    options = {"loadable_variables": []}
    return Case(files, combined(*files, options=options), variable="time", file="f1.nc")


@trap("T05")
def hours(folder: Path) -> Case:
    files = series(folder, [[n] for n in range(3)], unit="h")

    def part(path: Path) -> xr.Dataset:
        vds = virtual(path)
        vds.time.encoding.clear()
        return vds

    write = appended(*(lambda path=path: part(path) for path in files))
    return Case(files, write, variable="time", file="f1.nc", lengths=[1, 1, 1])


@trap("T06")
def bounds(folder: Path) -> Case:
    files = []
    for number in range(2):
        days = pd.date_range("2000-01-01", periods=2) + pd.Timedelta(2 * number, "D")
        time = xr.Variable("time", days, {"bounds": "time_bnds"})
        both = np.stack([days, days + pd.Timedelta(1, "D")], axis=1)
        dataset = xr.Dataset({"time_bnds": (("time", "nv"), both)}, {"time": time})
        encoding = {
            "time": {"units": f"days since {days[0]:%Y-%m-%d}"},
            "time_bnds": {"chunksizes": (1, 2)},
        }
        files.append(folder / f"f{number}.nc")
        dataset.to_netcdf(files[-1], engine="h5netcdf", encoding=encoding)
    return Case(files, combined(*files), variable="time_bnds", file="f1.nc")


# Append and region ------------------------------------------------------------------------------


@trap("T07")
def partial_chunk(folder: Path) -> Case:
    files = series(folder, [range(5), range(5, 9)], chunk=2)
    return Case(files, appended(*map(opened, files)), file="f0.nc", lengths=[5, 4])


@trap("T08")
def long_chunk(folder: Path) -> Case:
    files = series(folder, [[0, 1], [2, 3]], chunk=16, unlimited=True)
    return Case(files, appended(*map(opened, files)), file="f0.nc")


@trap("T09")
def region(folder: Path) -> Case:
    files = series(folder, [range(8)], chunk=4, unlimited=True)
    (other := folder / "other").mkdir()
    (short,) = series(other, [[0, 1]], chunk=4, unlimited=True)

    def write(session: icechunk.Session) -> None:
        virtual(files[0]).vz.to_icechunk(session.store)
        part = virtual(short).drop_vars("time")
        part.vz.to_icechunk(session.store, region={"time": slice(0, 2)})

    return Case(files, write, file="f0.nc", lengths=[8])


@trap("T10")
def sharded(folder: Path) -> Case:
    path = folder / "archive.zarr"

    def save(path: Path, values: Any) -> xr.Dataset:
        dataset = xr.Dataset({"v": ("time", np.float32(values))})
        encoding = {"v": {"shards": 4, "chunks": 2}}
        dataset.to_zarr(path, consolidated=False, encoding=encoding)
        return virtual(path)

    save(path, range(16))

    def write(session: icechunk.Session) -> None:
        virtual(path).vz.to_icechunk(session.store)
        part = save(folder / "part.zarr", [4, 5, 6, 7])  # the very values that are there
        part.vz.to_icechunk(session.store, region={"time": slice(4, 8)})

    return Case(write=write, **single(path))


@trap("T11")
def half_an_append(folder: Path) -> Case:
    files = pair(folder)

    def second() -> xr.Dataset:
        vds = virtual(files[1]).drop_vars(["crs", "mask"])
        vds["zzz"] = vds["v"].copy()
        return vds[["zzz", "v"]]  # fails at the first, after the coordinates were written

    return Case(files, appended(opened(files[0]), second), file="f")


@trap("T12")
def append_replaces(folder: Path) -> Case:
    files = pair(folder, mask=2.0)
    loaded = {"loadable_variables": ["time", "lat", "crs"]}
    write = appended(*(opened(path, **loaded) for path in files))
    return Case(files, write, variable="mask", file="f0.nc")


@trap("T59")
def coordinates_fall_out(folder: Path) -> Case:
    files = []
    for number in range(2):
        time = pd.Timestamp("2000-01-01") + pd.to_timedelta([2 * number, 2 * number + 1], "D")
        dataset = xr.Dataset({"v": ("time", [1.0, 2.0])}, {"time": time, "height": 2.0})
        dataset.v.encoding = {"coordinates": None, "chunksizes": (1,)}
        dataset.to_netcdf(folder / f"f{number}.nc", engine="h5netcdf")
        files.append(folder / f"f{number}.nc")
    write = appended(opened(files[0]), opened(files[1], "height"))
    return Case(files, write, variable="height")


@trap("T60")
def a_rewrite_keeps_chunks(folder: Path) -> Case:
    files = [folder / "f0.h5", folder / "f1.h5"]
    for number, (file, written) in enumerate(zip(files, (4, 2), strict=True)):
        with h5py.File(file, "w") as new:
            v = new.create_dataset("v", (4,), "int32", chunks=(2,))
            v[:written] = RAMP[:written] + 100 * number
            new["time"] = np.arange(4.0)
            new["time"].make_scale("time")
            v.dims[0].attach_scale(new["time"])

    def write(session: icechunk.Session) -> None:
        virtual(files[0]).vz.to_icechunk(session.store)
        again = virtual(files[1]).drop_vars("time")
        again.vz.to_icechunk(session.store, region={"time": slice(0, 4)})

    return Case(files[1:], write, file="f1.h5", lengths=[4])


@trap("T61")
def transposed(folder: Path) -> Case:
    files = []
    for number, dims in enumerate([("y", "x"), ("x", "y")]):
        time = [pd.Timestamp("2000-01-01") + pd.Timedelta(number, "D")]
        values = np.float32([[[1, 2], [3, 4]]])
        dataset = xr.Dataset({"v": (("time", *dims), values)}, {"time": time})
        encoding = {"v": {"chunksizes": (1, 2, 2)}}
        dataset.to_netcdf(folder / f"f{number}.nc", engine="h5netcdf", encoding=encoding)
        files.append(folder / f"f{number}.nc")
    return Case(files, appended(*map(opened, files)), file="f1.nc", lengths=[1, 1])


@trap("T13")
def variable_missing_on_append(folder: Path) -> Case:
    files = series(folder, [[0, 1], [2, 3]])
    with xr.open_dataset(files[0]) as whole:
        added = whole.load().assign(q=("time", [5.0, 6.0]))
    added.to_netcdf(files[0], engine="h5netcdf", encoding={"q": {"chunksizes": (1,)}})
    write = appended(*map(opened, files))
    return Case(files, write, variable="q", file="f")


@trap("T14-repeated")
def repeated(folder: Path) -> Case:
    files = series(folder, [[0, 1], [2, 3]])
    write = appended(*map(opened, [files[0], files[1], files[1]]))
    return Case(files, write, variable="time", file="f1.nc")


@trap("T14-disorder")
def disorder(folder: Path) -> Case:
    files = series(folder, [[2, 3], [0, 1]])
    return Case(files, combined(*files), variable="time", file="f1.nc")


@trap("T14-overlap")
def overlap(folder: Path) -> Case:
    files = series(folder, [[0, 1], [1, 2]])
    return Case(files, combined(*files), variable="time", file="f1.nc")


@trap("T35")
def two_forks(folder: Path) -> Case:
    files = series(folder, [[0, 1], [2, 3], [4, 5]])

    def write(session: icechunk.Session) -> None:
        forks = [session.fork(), session.fork()]
        for fork, path in zip(forks, files[1:], strict=True):
            virtual(path).vz.to_icechunk(fork.store, append_dim="time")
        session.merge(*forks)

    lengths = [2, 2, 2]
    return Case(files, write, variable="time", file="f", lengths=lengths, first=alone(files[0]))


@trap("T36")
def groups_deleted(folder: Path) -> Case:
    path = grouped(folder / "groups.nc")

    def write(session: icechunk.Session) -> None:
        virtual(path, HDFParser(group="obs")).vz.to_icechunk(session.store, group="obs")
        virtual(path).vz.to_icechunk(session.store, mode="w")

    groups = {"obs": {"concat_dim": None, "lengths": [1], "virtual": ["v"]}}
    return Case(write=write, groups=groups, **single(path))


# Combine defaults -------------------------------------------------------------------------------


@trap("T16")
def static_repeated(folder: Path) -> Case:
    files = pair(folder)
    return Case(files, combined(*files, data_vars="all"), variable="mask", file="f0.nc")


@trap("T17")
def last_digit(folder: Path) -> Case:
    files = pair(folder, jitter=1e-9)
    return Case(files, combined(*files, join="left"), variable="lat", file="f1.nc")


@trap("T18")
def flipped(folder: Path) -> Case:
    files = pair(folder)

    def flip(file: netCDF4.Dataset) -> None:
        file["lat"][:] = file["lat"][::-1]
        file["v"][:] = file["v"][:, ::-1]

    edit(files[1], flip)
    return Case(files, combined(*files, join="override"), variable="lat", file="f1.nc")


@trap("T19")
def gap(folder: Path) -> Case:
    path = folder / "gap.h5"
    with h5py.File(path, "w") as file:
        file["time"] = [1.0, 3.0]
        file["time"].attrs["units"] = "days since 2000-01-01"
        file["time"].make_scale("time")
        file.create_dataset("v", data=np.float32([5, 6]), chunks=(1,))
        file["v"].dims[0].attach_scale(file["time"])

    def write(session: icechunk.Session) -> None:
        days = pd.date_range("2000-01-02", periods=3)
        virtual(path).reindex(time=days).vz.to_icechunk(session.store)

    return Case(write=write, **single(path))


@trap("T44")
def static_hidden(folder: Path) -> Case:
    files = pair(folder, mask=2.0)
    return Case(files, combined(*files), variable="mask", file="f1.nc")


@trap("T45")
def variable_missing(folder: Path) -> Case:
    files = series(folder, [[0, 1], [2, 3]])
    edit(files[0], lambda file: file.createVariable("q", "i2", "time").__setitem__(slice(None), 7))
    return Case(files, combined(*files), variable="q", file="f1.nc")


# HDF5 layouts and dtypes ------------------------------------------------------------------------


def low_level(path: Path, values: np.ndarray, kind: Any = None, **settings: Any) -> Path:
    """A dataset ``v`` with a creation property list; ``settings`` are its methods' arguments."""
    kind = kind or h5py.h5t.NATIVE_INT32
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    for method, arguments in settings.items():
        for each in arguments:
            getattr(plan, method)(*each)
    with h5py.File(path, "w") as file:
        shape = h5py.h5s.create_simple(values.shape)
        data = h5py.h5d.create(file.id, b"v", kind, shape, dcpl=plan)
        data.write(ALL, ALL, values, mtype=kind)
    return path


def grouped(path: Path) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f4", "x")[:] = [1, 2, 3]
        file.createGroup("obs").createVariable("v", "f4", "x")[:] = [4, 5, 6]
    return path


@trap("T22-compact")
def compact(folder: Path) -> Case:
    path = low_level(folder / "compact.h5", RAMP, set_layout=[(h5py.h5d.COMPACT,)])
    return Case(write=alone(path), **single(path))


@trap("T22-external")
def external(folder: Path) -> Case:
    raw = folder / "raw.bin"
    RAMP.tofile(raw)
    path = low_level(folder / "external.h5", RAMP, set_external=[(bytes(raw), 0, 16)])
    return Case(write=alone(path), **single(path))


@trap("T22-virtual")
def virtual_dataset(folder: Path) -> Case:
    path = folder / "vds.h5"
    inner = low_level(folder / "inner.h5", RAMP)
    layout = h5py.VirtualLayout((4,), "int32")
    layout[:] = h5py.VirtualSource(inner, "v", shape=(4,))
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("v", layout, fillvalue=-1)
    return Case(write=alone(path), **single(path))


@trap("T22-mask")
def filter_mask(folder: Path) -> Case:
    path = folder / "mask.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (4,), "int32", chunks=(4,), shuffle=True)
        file["v"].id.write_direct_chunk((0,), RAMP.tobytes(), filter_mask=1)
    return Case(write=alone(path), **single(path))


@trap("T26")
def groups_ignored(folder: Path) -> Case:
    path = grouped(folder / "groups.nc")
    groups = {"obs": {"concat_dim": None, "lengths": [1], "virtual": ["v"]}}
    return Case(write=alone(path), groups=groups, **single(path))


@trap("T46")
def parents_lost(folder: Path) -> Case:
    path = grouped(folder / "groups.nc")

    def write(session: icechunk.Session) -> None:
        virtual(path, HDFParser(group="obs")).vz.to_icechunk(session.store, group="obs")

    groups = {"obs": {"concat_dim": None, "lengths": [1], "virtual": ["v"]}}
    return Case(write=write, groups=groups, **single(path, variable="x"))


@trap("T47")
def placeholder(folder: Path) -> Case:
    path = folder / "phantom.h5"
    with h5py.File(path, "w") as file:
        file["v"], file["nv"] = [5.0, 6.0], np.zeros(2)
        label = "This is a netCDF dimension but not a netCDF variable.         2"
        file["nv"].make_scale(label)
        file["v"].dims[0].attach_scale(file["nv"])
    return Case(write=alone(path), **single(path, variable="nv"))


@trap("T48")
def mangled(folder: Path) -> Case:
    path = folder / "mangled.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("x", 2), ("y", 3)):
            file.createDimension(name, size)
        file.createVariable("y", "f4", ("x", "y"))[:] = 7
    return Case(write=alone(path), **single(path, variable="y"))


@trap("T49")
def unwritten_coordinate(folder: Path) -> Case:
    path = folder / "unwritten.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f4", "x")
        file.createVariable("v", "f4", "x")[:] = [1, 2, 3]
    return Case(write=alone(path), **single(path, variable="x"))


@trap("T50")
def unwritten_chunks(folder: Path) -> Case:
    path = folder / "never.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", (4,), "int32", chunks=(2,), fillvalue=7, fill_time="never")
        file["v"][:2] = 1
    return Case(write=alone(path), **single(path))


@trap("T51")
def padded_text(folder: Path) -> Case:
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(6)
    kind.set_strpad(h5py.h5t.STR_SPACEPAD)
    path = low_level(folder / "text.h5", np.array([b"ab    ", b"cd    "]), kind)
    return Case(write=alone(path), **single(path))


@trap("T52")
def filter_twice(folder: Path) -> Case:
    settings = {"set_chunk": [((4,),)], "set_shuffle": [()], "set_deflate": [(1,), (1,)]}
    path = low_level(folder / "twice.h5", RAMP, **settings)
    return Case(write=alone(path), **single(path))


@trap("T53")
def padded_compound(folder: Path) -> Case:
    path = folder / "padded.h5"
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    with h5py.File(path, "w") as file:
        file["v"] = np.array([(1, 2.0), (3, 4.0)], kind)
    return Case(write=alone(path), **single(path))


@trap("T54")
def padded_names(folder: Path) -> Case:
    path = folder / "nul.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("yy", 2)
        file.createVariable("v", "f4", "yy")[:] = [1, 2]
    padded = path.read_bytes().replace(b"\0\0\0\2yy\0\0", b"\0\0\0\3yy\0\0")
    path.write_bytes(padded)
    return Case(write=alone(path, NetCDF3Parser()), **single(path))


@trap("T57")
def unwritten(folder: Path) -> Case:
    files = []
    for number, fill in enumerate((0.0, 5.0)):
        files.append(folder / f"f{number}.h5")
        with h5py.File(files[-1], "w") as file:
            time = file.create_dataset("time", data=[2.0 * number, 2 * number + 1])
            time.attrs["units"] = "days since 2000-01-01"
            time.make_scale("time")
            v = file.create_dataset("v", (2,), "f4", chunks=(1,), fillvalue=fill)
            v[0] = 1
            v.dims[0].attach_scale(time)
    return Case(files, combined(*files), file="f1.h5")


# Kerchunk and Zarr v2 ---------------------------------------------------------------------------


def kerchunked(path: Path) -> Path:
    """Kerchunk's own references to a file."""
    references = SingleHdf5ToZarr(str(path), inline_threshold=0).translate()
    made = path.with_suffix(".json")
    made.write_text(json.dumps(references))
    return made


def with_masks(vds: xr.Dataset) -> xr.Dataset:
    """T42's remedy, done where it must not be."""
    for variable in vds.variables.values():
        if "_FillValue" not in variable.attrs and hasattr(variable.data, "manifest"):
            fill_value = np.asarray(variable.data.metadata.fill_value)
            variable.attrs["_FillValue"] = encode_cf_fill_value(fill_value, variable.dtype)
    return vds


@trap("T24")
def zero_masked(folder: Path) -> Case:
    path = folder / "zero.h5"
    with h5py.File(path, "w") as file:
        file["v"] = np.arange(4)
    made = folder / "zero.json"
    virtual(path).vz.to_kerchunk(str(made), format="json")
    write = alone(made, KerchunkJSONParser(), with_masks)
    return Case(write=write, build_from=[made], **single(path))


@trap("T42")
def masks_lost(folder: Path) -> Case:
    path = folder / "p.nc"
    dataset = xr.Dataset({"v": ("x", np.float32([0, np.nan, 2]))})
    dataset.to_netcdf(path, engine="h5netcdf", encoding={"v": {"_FillValue": -9999.0}})
    made = kerchunked(path)
    write = alone(made, KerchunkJSONParser())
    return Case(write=write, build_from=[made], **single(path))


@trap("T25")
def masks_lost_from_zarr(folder: Path) -> Case:
    path = folder / "v2.zarr"
    packing = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.0, "_FillValue": -9999}
    dataset = xr.Dataset({"v": ("x", [273.0, np.nan, 275.0])})
    dataset.to_zarr(path, zarr_format=2, consolidated=False, encoding={"v": packing})
    return Case(write=alone(path), **single(path))


# Sources that change ----------------------------------------------------------------------------


def replaced(path: Path, recipe: Recipe) -> None:
    """Another file in its place, with its time, as ``rsync -t`` leaves it."""
    before = path.stat()
    recipe.write(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@trap("T20")
def replaced_before_writing(folder: Path) -> Case:
    path = Recipe().write(folder / "f0.nc")

    def write(session: icechunk.Session) -> None:
        vds = virtual(path)
        replaced(path, Recipe(scale=0.25))
        vds.vz.to_icechunk(session.store)

    return Case(write=write, **single(path))


@trap("T21")
def replaced_under_references(folder: Path) -> Case:
    path = Recipe().write(folder / "f0.nc")
    made = kerchunked(path)
    replaced(path, Recipe(scale=0.25))
    write = alone(made, KerchunkJSONParser(), with_masks)
    return Case(write=write, build_from=[made], **single(path))


@trap("T37")
def bogus_references(folder: Path) -> Case:
    path = folder / "f0.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", shape=(4,), chunks=(2,))[:2] = 1

    def write(session: icechunk.Session) -> None:
        virtual(path).vz.to_icechunk(session.store)
        location = f"file://{path}"  # what rename_paths and uninitialized memory make
        session.store.set_virtual_ref("v/c/1", location, offset=0, length=8)

    return Case(write=write, **single(path))


# Configuration ----------------------------------------------------------------------------------


@trap("T34")
def no_container(folder: Path) -> Case:
    (elsewhere := folder.parent / "elsewhere").mkdir()
    path = Recipe().write(elsewhere / "f0.nc")

    def write(session: icechunk.Session) -> None:
        virtual(path).vz.to_icechunk(session.store, validate_containers=False)

    return Case(write=write, **single(path))


# Loud traps, and right but unexpected: files only -----------------------------------------------

FILES: dict[str, Callable[[Path], list[Path]]] = {}


def files_of(name: str) -> Callable:
    def note(make: Callable[[Path], list[Path]]) -> Callable[[Path], list[Path]]:
        FILES[name] = make
        return make

    return note


@files_of("T15")
def scalars(folder: Path) -> list[Path]:
    return pair(folder)


@files_of("T23")
def lzf(folder: Path) -> list[Path]:
    with h5py.File(folder / "lzf.h5", "w") as file:
        file.create_dataset("v", data=RAMP, chunks=(4,), compression="lzf")
    return [folder / "lzf.h5"]


@files_of("T29")
def short_time_chunks(folder: Path) -> list[Path]:
    return series(folder, [range(3), range(3, 6)], unlimited=True)


@files_of("T30")
def infinite_attribute(folder: Path) -> list[Path]:
    with h5py.File(folder / "range.h5", "w") as file:
        file["v"] = RAMP
        file["v"].attrs["valid_range"] = [0.0, np.inf]
    return [folder / "range.h5"]


@files_of("T38")
def types(folder: Path) -> list[Path]:
    with h5py.File(folder / "types.h5", "w") as file:
        file["v"], file["scalar"] = RAMP.astype(">f4"), 2.5
        file.create_dataset("text", data=["é", "zz", "", "a"], dtype=h5py.string_dtype())
    return [folder / "types.h5"]


@files_of("T39")
def without_scales(folder: Path) -> list[Path]:
    with h5py.File(folder / "phony.h5", "w") as file:
        file["v"], file["w"] = np.arange(3), np.arange(4)
    return [folder / "phony.h5"]


@files_of("T40")
def netcdf3(folder: Path) -> list[Path]:
    return [
        Recipe(start=2 * n, format="NETCDF3_64BIT_OFFSET").write(folder / f"f{n}.nc")
        for n in range(2)
    ]


@files_of("T43")
def float32_scale(folder: Path) -> list[Path]:
    dataset = xr.Dataset({"v": ("x", np.float32([280.3, 281.7]))})
    packing = {"dtype": "int16", "scale_factor": np.float32(0.1), "add_offset": np.float32(270)}
    encoding = {"v": {**packing, "_FillValue": -32767}}
    dataset.to_netcdf(folder / "f0.nc", engine="h5netcdf", encoding=encoding)
    return [folder / "f0.nc"]


@files_of("T58")
def escaped(folder: Path) -> list[Path]:
    return [Recipe().write(folder / "a%20b.nc")]


@files_of("T55")
def loaded_float_in_references(folder: Path) -> list[Path]:
    dataset = xr.Dataset({"v": ("x", np.float32([0, np.nan, 2]))}, {"x": [1.0, 2.0, 3.0]})
    encoding = {"v": {"_FillValue": -9999.0}}
    dataset.to_netcdf(folder / "p.nc", engine="h5netcdf", encoding=encoding)
    virtual(folder / "p.nc").vz.to_kerchunk(str(folder / "p.json"), format="json")
    return [folder / "p.json"]
