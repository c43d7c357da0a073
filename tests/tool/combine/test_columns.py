"""Archives with a file for each variable: one dataset, in which files of the same records lie side
by side."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

NAMES = ("prcp", "tmax", "wind")


def column(folder: Path, names: str, year: int, seed: int = 0, shift: float = 0.0) -> str:
    """``names`` of variables, two letters apart in their levels, on five days of a year."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{names.replace('+', '_')}_{year}.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.title, file.variable = "An archive", names
        for dim, size in (("time", None), ("y", 3), ("x", 4)):
            file.createDimension(dim, size)
        time = file.createVariable("time", "f4", ("time",))
        time.units = "days since 1950-01-01"
        time[:] = (year - 1950) * 365 + np.arange(5) + 0.5
        for dim, size in (("y", 3), ("x", 4)):
            file.createVariable(dim, "f4", (dim,))[:] = 1000 * np.arange(size) + shift
        crs = file.createVariable("crs", "i2")
        crs.semi_major_axis, crs.note = 6378137.0, names
        for name in names.split("+"):
            random = np.random.default_rng([year, NAMES.index(name), seed])
            v = file.createVariable(
                name, "f4", ("time", "y", "x"), zlib=True, chunksizes=(1, 3, 4), fill_value=-9999
            )
            v.units = name
            v[:] = random.normal(size=(5, 3, 4))
    return str(path)


def archive(folder: Path, years: range, columns: tuple[str, ...] = ("prcp", "tmax+wind")) -> list:
    return [column(folder, names, year) for names in columns for year in years]


def stored(repository: Path, folder: Path) -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    return xr.open_zarr(store, consolidated=False, chunks=None).load()


def truth(files: list[str]) -> xr.Dataset:
    columns: dict[str, list[xr.Dataset]] = {}
    for file in sorted(files):
        with xr.open_dataset(file) as dataset:
            columns.setdefault(Path(file).name[:-8], []).append(dataset.load())
    joined = [
        xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="equals")
        for parts in columns.values()
    ]
    return xr.merge(joined, join="exact", compat="equals", combine_attrs="drop_conflicts")


def passes(repository: Path) -> None:
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed, report.failures


@pytest.mark.parametrize("history", ["build", "batches", "append", "append all years"])
def test_columns_are_one_dataset(tmp_path: Path, history: str) -> None:
    files = archive(tmp_path / "data", range(1980, 1984))
    repo, access = tmp_path / "repo", Access()
    first = [file for file in files if "1980" in file]
    if history == "build":
        built = build(files, str(repo), access)
        assert built.sources == [f"file://{file}" for file in sorted(files, key=_by_year)]
    elif history == "batches":
        build(files, str(repo), access, batch=3)
    else:
        build(first, str(repo), access)
        for year in ("1981", "1982", "1983") if history == "append" else ("",):
            done = append([file for file in files if year in file], str(repo), access)
            assert done.length == (5 if year else 15)
    found, expected = stored(repo, tmp_path / "data"), truth(files)
    xr.testing.assert_identical(found.drop_attrs(), expected.drop_attrs())
    assert found.attrs == {"title": "An archive"}
    assert found.crs.attrs == {"semi_major_axis": 6378137.0}
    assert found.wind.attrs["units"] == "wind"
    passes(repo)
    assert append(files, str(repo), access).snapshot is None  # all are known


def _by_year(file: str) -> tuple[str, str]:
    return file[-7:], file


def test_a_column_that_was_written_again(tmp_path: Path) -> None:
    files = archive(tmp_path / "data", range(1980, 1983))
    repo = tmp_path / "repo"
    build(files, str(repo), Access())
    for names, year, time in (("tmax+wind", 1981, 2e9), ("prcp", 1982, 2.1e9)):
        again = column(tmp_path / "data", names, year, seed=5)
        os.utime(again, (time, time))
        if names == "prcp":
            with pytest.raises(Refused, match="--replace"):
                append(files, str(repo), Access())
            append(files, str(repo), Access(), replace_known=True)
        else:
            assert refresh(str(repo), Access()).changed.keys() == {f"file://{again}"}
        xr.testing.assert_equal(stored(repo, tmp_path / "data"), truth(files))
        passes(repo)


def test_an_archive_that_moved(tmp_path: Path) -> None:
    files = archive(tmp_path / "data", range(1980, 1982))
    build(files, str(tmp_path / "repo"), Access())
    shutil.move(tmp_path / "data", tmp_path / "there")
    repoint(str(tmp_path / "repo"), Access(), str(tmp_path / "data"), str(tmp_path / "there"))
    moved = [str(tmp_path / "there" / Path(file).name) for file in files]
    xr.testing.assert_equal(stored(tmp_path / "repo", tmp_path / "there"), truth(moved))
    passes(tmp_path / "repo")


def test_a_record_without_all_columns_is_refused(tmp_path: Path) -> None:
    files = archive(tmp_path / "data", range(1980, 1982))
    with pytest.raises(Refused, match=r"prcp_1981.nc: .*no file has tmax, wind for them"):
        build(files[:-1], str(tmp_path / "repo"), Access())
    build(files, str(tmp_path / "repo"), Access())


def test_a_record_may_get_its_columns_one_after_another(tmp_path: Path) -> None:
    files = archive(tmp_path / "data", range(1980, 1983))
    build([f for f in files if "1982" not in f], str(tmp_path / "repo"), Access())
    append(files[2:3], str(tmp_path / "repo"), Access())
    assert np.isnan(stored(tmp_path / "repo", tmp_path / "data").wind[10:]).all()
    passes(tmp_path / "repo")
    append(files, str(tmp_path / "repo"), Access())
    xr.testing.assert_equal(stored(tmp_path / "repo", tmp_path / "data"), truth(files))
    passes(tmp_path / "repo")


def test_what_columns_share_must_be_the_same(tmp_path: Path) -> None:
    files = archive(tmp_path / "data", range(1980, 1982), ("prcp",))
    files += [
        column(tmp_path / "data", "tmax", 1980),
        column(tmp_path / "data", "tmax", 1981, 0, 1),
    ]
    with pytest.raises(Refused, match=r"tmax_1981.nc: [xy] is not known to be as in .*prcp_1981"):
        build(files, str(tmp_path / "repo"), Access())


def test_inspect_says_that_one_build_takes_all(tmp_path: Path) -> None:
    files = archive(tmp_path / "data", range(1980, 1983))
    sets = inspect_files(files, Access()).sets
    assert len(sets) == 2
    for found in sets:
        assert "the sets have the same records: one build puts them side by side" in found.notes
        command = shlex.split(found.build)
        assert command[4:-4] == files
    folder = [f"{tmp_path}/data/*.nc"]
    sets = inspect_files(folder, Access()).sets
    assert shlex.split(sets[1].build)[4:] == [
        *folder,
        "--concat-dim",
        "time",
        "--repo",
        "NAME.icechunk",
    ]
    build(folder, str(tmp_path / "repo"), Access(), concat_dim="time")
