"""What counts as equal between files, and in which order they lie."""

from __future__ import annotations

from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.formats.dimensions import distinct
from vzarr.repository.open import open_any_repository
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access
from vzarr.verification.open import open_store
from vzarr.virtualize.equality import same


def read(repository: Path) -> xr.Dataset:
    repo = open_any_repository(str(repository), Access())
    return open_store(repo.readonly_session("main").store)


def passes(repository: Path, files: int) -> None:
    report = verify_repository(str(repository), Access(), sample=None)
    assert (report.failures, report.compared) == ([], files)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (NAN, NAN, True),
        (NAN, np.float32(NAN), True),
        (NAN, "nan", True),
        ([NAN, -999.0], np.array([NAN, -999.0], "f4"), True),
        ([NAN, -999.0], "[nan, -999.0]", True),
        (INF, "inf", True),
        (complex(NAN, NAN), np.complex64(complex(NAN, NAN)), True),
        (1, 1.0, True),
        (NAN, 0.0, False),
        (INF, -INF, False),
        ("K", "degC", False),
        (1, "2", False),
        (None, NAN, False),
    ],
)
def test_same(left: object, right: object, expected: bool) -> None:
    assert same(left, right) is expected
    assert same(right, left) is expected


@pytest.mark.parametrize(
    "attributes",
    [
        {"missing_value": np.float32(NAN)},
        {"_FillValue": np.float32(NAN), "missing_value": np.float32(NAN)},
        {"missing_value": np.float32(INF)},
        {"valid_range": np.array([NAN, INF], "f4")},
    ],
    ids=["missing", "both", "infinite", "range"],
)
def test_numbers_that_json_does_not_know(tmp_path: Path, attributes: dict) -> None:
    for day in range(3):
        with netCDF4.Dataset(tmp_path / f"d{day}.nc", "w") as file:
            file.createDimension("time", None)
            file.createDimension("x", 4)
            time = file.createVariable("time", "i4", ("time",))
            time.units = "days since 2024-01-01"
            time[:] = [day]
            fill = attributes.get("_FillValue")
            v = file.createVariable("v", "f4", ("time", "x"), fill_value=fill, chunksizes=(1, 4))
            v.setncatts({key: value for key, value in attributes.items() if key != "_FillValue"})
            v[:] = [[1.0, 2.0, NAN, 4.0]]
    files = sorted(map(str, tmp_path.glob("*.nc")))
    build(files[:2], str(tmp_path / "repo"), Access())
    assert append(files, str(tmp_path / "repo"), Access()).appended == [f"file://{files[2]}"]
    passes(tmp_path / "repo", 3)


def images(folder: Path, fill: complex | list[complex]) -> list[str]:
    folder.mkdir(exist_ok=True)
    for day in range(3):
        with h5py.File(folder / f"z{day}.h5", "w") as file:
            file["time"] = [float(day)]
            file["time"].make_scale("time")
            file["time"].attrs["units"] = "days since 2024-01-01"
            z = file.create_dataset("z", (1, 3), "c8", maxshape=(None, 3), chunks=(1, 3))
            z[:] = [[1 + 2j, complex(NAN, NAN), 3]]
            z.attrs["_FillValue"] = np.complex64(fill if not isinstance(fill, list) else fill[day])
            file["x"] = np.arange(3.0)
            file["x"].make_scale("x")
            z.dims[0].attach_scale(file["time"])
            z.dims[1].attach_scale(file["x"])
    return sorted(map(str, folder.glob("*.h5")))


@pytest.mark.parametrize("fill", [complex(NAN, NAN), 0j], ids=["nan", "zero"])
def test_complex_fill_values(tmp_path: Path, fill: complex) -> None:
    files = images(tmp_path, fill)
    build(files[:2], str(tmp_path / "repo"), Access(), concat_dim="time")
    assert len(append(files, str(tmp_path / "repo"), Access()).appended) == 1
    passes(tmp_path / "repo", 3)


def test_complex_fill_values_that_differ(tmp_path: Path) -> None:
    files = images(tmp_path, [0j, 1j, 0j])
    with pytest.raises(Refused, match=r"z1.h5: z: _FillValue is 1j, but 0j in"):
        build(files, str(tmp_path / "repo"), Access(), concat_dim="time")


def months(folder: Path) -> list[str]:
    """Files without any time: only their names tell it, and not in the order of the alphabet."""
    names = ["Jan", "Feb", "Mar", "Apr"]
    for number, name in enumerate(names):
        dataset = xr.Dataset({"v": ("x", np.full(3, float(number)))})
        dataset.to_netcdf(folder / f"tas_{name}.nc", engine="h5netcdf")
    return [str(folder / f"tas_{name}.nc") for name in names]


def test_files_keep_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    files = months(tmp_path)
    built = build(files, str(tmp_path / "repo"), Access(), concat_dim="time")
    assert read(tmp_path / "repo").v[:, 0].values.tolist() == [0, 1, 2, 3]
    assert "from tas_Jan.nc to tas_Apr.nc" in "\n".join(built.notes)
    passes(tmp_path / "repo", 4)


def test_what_a_shell_or_a_pattern_gives_is_sorted_by_numbers(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"f{number}.nc").write_bytes(b"")
    expected = [f"file://{tmp_path}/f{number}.nc" for number in (1, 2, 10)]
    by_shell = sorted(str(tmp_path / f"f{number}.nc") for number in (1, 2, 10))
    assert by_shell[1].endswith("f10.nc")
    for patterns in (by_shell, [f"{tmp_path}/*.nc"], [f"{tmp_path}/f10.nc", f"{tmp_path}/f?.nc"]):
        assert [source.url for source in find_sources(patterns, Access())] == expected
    turned = [str(tmp_path / f"f{number}.nc") for number in (10, 1, 2)]
    found = [source.url for source in find_sources(turned, Access())]
    assert found == [f"file://{name}" for name in turned]


def kernels(folder: Path) -> list[str]:
    random = np.random.default_rng(1)
    for number in range(3):
        with netCDF4.Dataset(folder / f"p{number}.nc", "w") as file:
            file.createDimension("scan", None)
            file.createDimension("layer", 4)
            scan = file.createVariable("scan", "f8", ("scan",), chunksizes=(3,))
            scan.units = "hours since 2025-06-01"
            scan[:] = np.arange(3) + 3 * number
            dims = ("scan", "layer", "layer")
            kernel = file.createVariable("kernel", "f4", dims, zlib=True, chunksizes=(1, 4, 4))
            kernel[:] = random.normal(size=(3, 4, 4))
    return sorted(map(str, folder.glob("*.nc")))


def test_a_dimension_twice(tmp_path: Path) -> None:
    files = kernels(tmp_path)
    built = build(files[:2], str(tmp_path / "repo"), Access())
    assert built.virtual == ["kernel"]
    note = "kernel has the dimensions scan, layer, layer_2: one name stood there twice"
    assert built.notes == [note]
    append(files, str(tmp_path / "repo"), Access())
    assert read(tmp_path / "repo").kernel.dims == ("scan", "layer", "layer_2")
    passes(tmp_path / "repo", 3)
    (found,) = inspect_files(files, Access()).sets
    assert found.combine is None  # no call of xarray takes such files


def test_distinct() -> None:
    assert distinct(("a", "b", "a", "a", "b")) == ("a", "b", "a_2", "a_3", "b_2")
    assert distinct(("a", "a_2", "a")) == ("a", "a_2", "a_3")
