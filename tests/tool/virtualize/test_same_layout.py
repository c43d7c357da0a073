"""Files of a known layout: parsed in part, with the same result as by the whole parser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
from making import Recipe
from vzarr.sources.content import fetch
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import ParsedFile, is_virtual
from vzarr.virtualize.parse import parse_file
from vzarr.virtualize.same_layout import Layouts

ACCESS = Access()


def assert_same(mine: ParsedFile, theirs: ParsedFile) -> None:
    """Equal in everything that later steps look at."""
    for name in ("source", "file_format", "unlimited", "native", "dropped", "group", "data_url"):
        assert getattr(mine, name) == getattr(theirs, name), name
    assert mine.fingerprint == theirs.fingerprint
    assert mine.digests == theirs.digests
    assert repr(sorted(mine.packing.items())) == repr(sorted(theirs.packing.items()))
    left, right = mine.dataset, theirs.dataset
    assert set(left.variables) == set(right.variables)
    assert set(left.coords) == set(right.coords)
    assert set(left.indexes) == set(right.indexes)
    assert left.attrs == right.attrs
    for name in left.variables:
        a, b = left[name].variable, right[name].variable
        assert (a.dims, a.dtype, type(a)) == (b.dims, b.dtype, type(b)), name
        assert repr(sorted(a.attrs.items())) == repr(sorted(b.attrs.items())), name
        assert comparable(a.encoding) == comparable(b.encoding), name
        assert is_virtual(a) == is_virtual(b)
        if is_virtual(a):
            assert a.data.metadata == b.data.metadata
            assert a.data.manifest.dict() == b.data.manifest.dict()
        else:
            assert a.equals(b), name
    assert mine.children.keys() == theirs.children.keys()
    for path, part in mine.children.items():
        assert_same(part, theirs.children[path])


def comparable(encoding: dict) -> list[str]:
    """One spelling for each data type; NaN equals NaN."""
    return [
        f"{key}={np.dtype(value).str if key == 'dtype' else repr(value)}"
        for key, value in sorted(encoding.items())
    ]


def parse_both(files: list[Path], dimension: str) -> list[bool]:
    """Parse the first in full, the others by it where that can be; which of them could."""
    layouts = Layouts(dimension)
    known = []
    for source in find_sources([str(file) for file in files], ACCESS):
        content = fetch(source.url, ACCESS, source.size)
        whole = parse_file(source, ACCESS, (), dimension)
        alike = layouts.parse(source, content)
        if alike is None:
            layouts.remember(whole, content)
        else:
            assert_same(alike, whole)
        known.append(alike is not None)
    return known


@pytest.mark.parametrize(
    ("name", "dimension"), [("era5", "time"), ("goes", "t"), ("ensemble", "member")]
)
def test_series_of_one_layout(sample_folder: Path, name: str, dimension: str) -> None:
    """A packed series with bounds and epochs of its own; a scalar, or nothing, to combine along."""
    files = sorted((sample_folder / name).glob("*.nc"))
    assert parse_both(files, dimension) == [False, *[True] * (len(files) - 1)]


def change_attributes(file: netCDF4.Dataset) -> None:
    file.history = "another run"
    file["v"].comment = "not in the first file"
    file["v"].weight = np.float32(3.5)
    file["v"].actual_range = np.array([1.0, 2.0])
    file["time"].long_name = "another name"


def change_not_a_number(file: netCDF4.Dataset) -> None:
    file["v"].limit = np.nan


ALIKE: dict[str, Callable[[netCDF4.Dataset], None]] = {
    "attributes": change_attributes,
    "an attribute that JSON does not know": change_not_a_number,
}


@pytest.mark.parametrize("change", ALIKE)
def test_attributes_may_differ(tmp_path: Path, change: str) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(2)]
    with netCDF4.Dataset(files[1], "a") as file:
        ALIKE[change](file)
    assert parse_both(files, "time") == [False, True]


SECOND = Recipe(start=2)
DIFFERENT = {
    "scale": replace(SECOND, scale=0.25),
    "fill": replace(SECOND, fill=-98),
    "units": replace(SECOND, units="degC"),
    "dtype": replace(SECOND, dtype="i4"),
    "chunk": replace(SECOND, chunk=2),
    "level": replace(SECOND, level=9),
    "filters": replace(SECOND, shuffle=False),
    "length": replace(SECOND, steps=3),
    "coordinate": replace(SECOND, jitter=1e-9),
    "static values": replace(SECOND, mask=2.0),
    "format": replace(SECOND, format="NETCDF3_CLASSIC"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_matters_is_parsed_in_full(tmp_path: Path, what: str) -> None:
    recipes = [Recipe(), DIFFERENT[what], Recipe(start=4)]
    files = [recipe.write(tmp_path / f"f{n}.nc") for n, recipe in enumerate(recipes)]
    assert parse_both(files, "time") == [False, False, True]


def add_coordinates(file: h5py.File) -> None:
    file["v"].attrs["coordinates"] = "mask"


def skip_a_filter(file: h5py.File) -> None:
    chunk = np.ones((1, 4), "<i2").tobytes()
    file["v"].id.write_direct_chunk((0, 0), chunk, filter_mask=0xFFFFFFFF)


def link(file: h5py.File) -> None:
    file["other"] = h5py.SoftLink("/v")


def add_a_variable(file: h5py.File) -> None:
    file["w"] = np.arange(3)


def swap_scales(file: h5py.File) -> None:
    for axis, name in ((0, "y"), (1, "x")):
        file["square"].dims[axis].detach_scale(file["x" if name == "y" else "y"])
    file["square"].dims[0].attach_scale(file["y"])
    file["square"].dims[1].attach_scale(file["x"])


def with_a_square(path: Path) -> Path:
    """``square`` (x=2, y=2) beside what the recipe writes: its axes can be mistaken."""
    with h5py.File(path, "a") as file:
        for name in ("x", "y"):
            file[name] = np.arange(2.0)
            file[name].make_scale(name)
        file["square"] = np.arange(4.0).reshape(2, 2)
        file["square"].dims[0].attach_scale(file["x"])
        file["square"].dims[1].attach_scale(file["y"])
    return path


@pytest.mark.parametrize(
    "change", [add_coordinates, skip_a_filter, link, add_a_variable, swap_scales]
)
def test_what_hdf5_can_hide(tmp_path: Path, change: Callable[[h5py.File], None]) -> None:
    files = [with_a_square(Recipe(start=2 * n).write(tmp_path / f"f{n}.nc")) for n in range(2)]
    assert parse_both(files, "time") == [False, True]
    with h5py.File(files[1], "a") as file:
        change(file)
    assert parse_both(files, "time") == [False, False]


def test_chunks_beyond_the_file_are_not_taken(tmp_path: Path) -> None:
    """A file that is shorter than its index says is for the whole parser to judge."""
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(2)]
    layouts = Layouts("time")
    first, second = find_sources([str(file) for file in files], ACCESS)
    layouts.remember(parse_file(first, ACCESS, (), "time"), fetch(first.url, ACCESS, first.size))
    content = fetch(second.url, ACCESS, second.size)
    assert layouts.parse(second, content) is not None
    assert layouts.parse(replace(second, size=1000), content) is None


def test_groups(tmp_path: Path) -> None:
    """Granules with groups: each group by itself, those that do not grow as well."""
    files = []
    for number in range(3):
        path = tmp_path / f"g{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("time", None)
            time = file.createVariable("time", "i4", ("time",))
            time.units = f"hours since 2000-01-0{number + 1}"
            time[:] = np.arange(2)
            for name in ("science", "geometry/fine"):
                group = file.createGroup(name)
                group.createDimension("x", 3)
                dims = ("time", "x") if name == "science" else ("x",)
                values = group.createVariable("values", "f4", dims, zlib=True)
                values[:] = np.ones([2, 3][2 - len(dims) :]) * (number if len(dims) > 1 else 1)
        files.append(path)
    assert parse_both(files, "time") == [False, True, True]


def test_unwritten_chunks(tmp_path: Path) -> None:
    """Chunks that one file lacks stay without a reference."""
    files = []
    for number in range(2):
        path = tmp_path / f"f{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("time", None)
            file.createDimension("x", 4)
            file.createVariable("time", "f8", ("time",))[:] = np.arange(4.0) + 4 * number
            v = file.createVariable("v", "f4", ("time", "x"), chunksizes=(1, 4), fill_value=-1.0)
            v[number] = 7.0
            v[3] = 8.0
        files.append(path)
    assert parse_both(files, "time") == [False, True]


def test_patterns_do_not_change_with_what_becomes_of_them(tmp_path: Path) -> None:
    """Combining changes parsed files; what is remembered of them stays."""
    files = [tmp_path / f"g{n}.nc" for n in range(3)]
    original = Recipe().write(tmp_path / "original.nc")
    for file in files:
        shutil.copy(original, file)
    layouts = Layouts("member")
    for source in find_sources([str(file) for file in files], ACCESS):
        content = fetch(source.url, ACCESS, source.size)
        parsed = layouts.parse(source, content)
        if parsed is None:
            parsed = parse_file(source, ACCESS, (), "member")
            layouts.remember(parsed, content)
        parsed.dataset = parsed.dataset.drop_vars("v")
        parsed.digests.clear()
    assert "v" in layouts.parse(source, content).dataset
