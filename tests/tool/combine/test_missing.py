"""Variables that a file lacks, or that begin later, are missing in its records."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

EVERY = ("rain", "snow", "wind")


def write(
    folder: Path,
    number: int,
    names: tuple[str, ...] = EVERY,
    seed: int = 0,
    fill: float | None = -99,
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"f{number}.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("y", 3)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = 4 * number + np.arange(4)
        file.createVariable("y", "f8", ("y",))[:] = np.arange(3)
        for name in names:
            if name == "crs":
                file.createVariable("crs", "i4")[...] = 7
                continue
            random = np.random.default_rng([number, EVERY.index(name), seed])
            kind = "i2" if name == "snow" else "f4"
            options = {"zlib": True, "chunksizes": (2, 3)}
            v = file.createVariable(name, kind, ("time", "y"), fill_value=fill, **options)
            v[:] = random.integers(0, 90, (4, 3))
    return str(path)


def check(repository: Path, files: list[str]) -> xr.Dataset:
    folder = Path(files[0]).parent
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    found = xr.open_zarr(store, consolidated=False, chunks=None).load()
    parts = []
    for file in files:
        with xr.open_dataset(file) as dataset:
            parts.append(dataset.load())
    truth = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
    xr.testing.assert_equal(found, truth)
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed, report.failures
    return found


@pytest.mark.parametrize("history", ["build", "batches", "append"])
@pytest.mark.parametrize("odd", [0, 1, 2])
def test_a_file_lacks_a_variable(tmp_path: Path, odd: int, history: str) -> None:
    files = [write(tmp_path / "data", n, EVERY if n != odd else ("rain", "wind")) for n in range(3)]
    repo, access = str(tmp_path / "repo"), Access()
    if history == "append" and odd:
        build(files[:1], repo, access)
        for count in (2, 3):
            append(files[:count], repo, access)
    else:
        built = build(files, repo, access, batch=1 if history == "batches" else None)
        what = "has no snow: missing in its records; --drop snow leaves it out of all"
        assert f"file://{files[odd]}: {what}" in built.notes
        assert "snow" in built.virtual
    found = check(tmp_path / "repo", files)
    assert np.isnan(found.snow[4 * odd : 4 * odd + 4]).all()
    if odd == 1:  # it is written again, and still lacks it; then it has it
        write(tmp_path / "data", 1, ("rain", "wind"), seed=4)
        os.utime(files[1], (2e9, 2e9))
        refresh(repo, access)
        check(tmp_path / "repo", files)
        write(tmp_path / "data", 1, EVERY, seed=5)
        os.utime(files[1], (2.1e9, 2.1e9))
        refresh(repo, access)
        assert not np.isnan(check(tmp_path / "repo", files).snow).any()
        write(tmp_path / "data", 1, ("rain", "wind"), seed=6)
        os.utime(files[1], (2.2e9, 2.2e9))
        with pytest.raises(Refused, match="snow: the variable is absent"):
            refresh(repo, access)


def test_a_static_variable_is_stored_once(tmp_path: Path) -> None:
    files = [write(tmp_path, 0, (*EVERY, "crs")), write(tmp_path, 1)]
    build(files, str(tmp_path / "repo"), Access(), prefixes=(str(tmp_path),))
    assert check(tmp_path / "repo", files).crs == 7


def test_values_where_a_file_lacks_them_are_found(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", 0), write(tmp_path / "data", 1, ("rain", "wind"))]
    build(files, str(tmp_path / "repo"), Access())
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "repo")))
    with repo.transaction("main", message="by hand") as store:
        zarr.open_array(store, path="snow")[6:8] = 1
    report = verify_repository(str(tmp_path / "repo"), Access(), sample=None)
    assert any("snow is in the store, but not in the file" in str(f) for f in report.failures)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    files = [write(tmp_path, 0), write(tmp_path, 1, ("rain",))]
    with pytest.raises(Refused, match="the variable is absent"):
        build(files, str(tmp_path / "repo"), Access())


def test_what_has_no_missing_value_is_refused(tmp_path: Path) -> None:
    files = [write(tmp_path, 0), write(tmp_path, 1, ("rain", "wind"))]
    with netCDF4.Dataset(files[0], "a") as file:
        v = file.createVariable("flag", "i1", ("time",), chunksizes=(2,), fill_value=False)
        v[:] = 1
    with pytest.raises(Refused, match="flag: the variable is absent"):
        build(files, str(tmp_path / "repo"), Access())


@pytest.mark.parametrize("history", ["build", "batches", "append"])
@pytest.mark.parametrize("odd", [0, 1])
def test_missing_without_a_fill_value(tmp_path: Path, odd: int, history: str) -> None:
    """A float without ``_FillValue``, which netCDF fills with 9.97e36: NaN where it is lacking."""
    files = [
        write(tmp_path / "data", n, EVERY if n != odd else ("rain", "snow"), fill=None)
        for n in range(3)
    ]
    repo, access = str(tmp_path / "repo"), Access()
    if history == "append" and not odd:
        build(files[:1], repo, access)
        append(files, repo, access)
    else:
        built = build(files, repo, access, batch=2 if history == "batches" else None)
        assert "wind" in built.virtual
    wind = check(tmp_path / "repo", files).wind
    assert np.isnan(wind[4 * odd : 4 * odd + 4]).all()
    assert "_FillValue" not in wind.encoding
    if history == "append":
        files.append(write(tmp_path / "data", 3, ("rain", "snow"), fill=None))
        append(files, repo, access)
        write(tmp_path / "data", 1, EVERY if odd else ("rain", "snow", "wind"), seed=5, fill=None)
        os.utime(files[1], (2.1e9, 2.1e9))
        refresh(repo, access)
        assert np.isnan(check(tmp_path / "repo", files).wind[-4:]).all()


def test_integers_are_missing_by_their_own_fill_value(tmp_path: Path) -> None:
    """Also where chunks that were never written would read as another value: all are written."""
    files = [write(tmp_path / "data", 0), write(tmp_path / "data", 1, ("rain", "wind"))]
    with h5py.File(files[0], "a") as file:
        values, attributes = file["snow"][:], dict(file["snow"].attrs)
        scales = [file["time"], file["y"]]
        del file["snow"]
        plan = {"chunks": (2, 3), "fillvalue": 0, "compression": "gzip"}
        snow = file.create_dataset("snow", data=values, **plan)
        snow.attrs["_FillValue"] = attributes["_FillValue"]
        for axis, scale in zip(snow.dims, scales, strict=True):
            axis.attach_scale(scale)
    build(files, str(tmp_path / "repo"), Access())
    assert np.isnan(check(tmp_path / "repo", files).snow[4:]).all()


def test_unwritten_chunks_keep_their_fill_value(tmp_path: Path) -> None:
    """Where chunks were never written the fill value is a number of the file, and stays one."""
    files = [write(tmp_path / "data", n, EVERY, fill=None) for n in (0, 2)]
    files.insert(1, write(tmp_path / "data", 1, ("rain", "snow"), fill=None))
    with netCDF4.Dataset(files[0], "a") as file:
        v = file.createVariable("sparse", "f4", ("time", "y"), zlib=True, chunksizes=(2, 3))
        v[2:] = 1
    with pytest.raises(Refused, match="sparse: the variable is"):
        build(files, str(tmp_path / "repo"), Access())
