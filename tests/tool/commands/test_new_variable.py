"""``append`` of files with a variable that the store has not: it begins, or is left out."""

from __future__ import annotations

import os
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import vzarr
import xarray as xr
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access

ACCESS = Access()


def write(folder: Path, number: int, names: tuple[str, ...], seed: int = 0, **fills: object) -> str:
    """Four records of each variable; ``crs`` has none, ``height`` is a coordinate of each."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"f{number}.nc"
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in (("time", None), ("y", 3)):
            file.createDimension(dim, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = 4 * number + np.arange(4)
        file.createVariable("y", "f8", ("y",))[:] = np.arange(3)
        for name in names:
            if name == "crs":
                file.createVariable("crs", "i4", ("y",), zlib=True)[:] = [7, 8, 9]
                continue
            random = np.random.default_rng([number, len(name), ord(name[0]), seed])
            kind = "i2" if name == "snow" else "f4"
            options = {"zlib": True, "chunksizes": (2, 3)}
            fill = fills.get(name, -99)
            v = file.createVariable(name, kind, ("time", "y"), fill_value=fill, **options)
            v[:] = random.integers(0, 90, (4, 3))
            if name == "rain":
                v.coordinates = "height"
    os.utime(path, (1.7e9 + seed, 1.7e9 + seed))
    return str(path)


def opened(repository: Path, folder: Path) -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    return xr.open_zarr(store, consolidated=False, chunks=None).load()


def check(repository: Path, files: list[str], drop: tuple[str, ...] = ()) -> xr.Dataset:
    dataset = opened(repository, Path(files[0]).parent)
    parts = []
    for file in files:
        with xr.open_dataset(file, drop_variables=drop) as part:
            parts.append(part.load().reset_coords())
    truth = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
    xr.testing.assert_equal(dataset.reset_coords(), truth.reset_coords())
    report = vzarr.verify(str(repository), sample=None)
    assert report.passed, report.failures
    return dataset


OLD = ("rain", "wind")


@pytest.mark.parametrize("new", ["snow", "ice", "height"])
def test_a_variable_begins(tmp_path: Path, new: str) -> None:
    files = [write(tmp_path / "data", n, OLD if n < 2 else (*OLD, new)) for n in range(4)]
    repo = tmp_path / "repo"
    vzarr.build(files[:2], repo)
    done = vzarr.append(files[:3], repo)
    assert done.began == [new]
    assert np.isnan(check(repo, files[:3])[new][:8]).all()
    done = vzarr.append(files, repo)
    assert (done.began, len(done.appended)) == ([], 1)
    check(repo, files)
    # A file of before is written again, without the variable and then with it.
    for seed, names in ((1, OLD), (2, (*OLD, new))):
        write(tmp_path / "data", 1, names, seed)
        vzarr.refresh(repo)
        check(repo, files)
    write(tmp_path / "data", 0, (*OLD, new), 3)
    vzarr.append(files, repo, replace=True)
    check(repo, files)


def test_one_that_is_stored_once_begins(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, OLD if n < 2 else (*OLD, "crs")) for n in range(3)]
    repo = tmp_path / "repo"
    vzarr.build(files[:2], repo)
    assert vzarr.append(files, repo).began == ["crs"]
    check(repo, files)
    write(tmp_path / "data", 0, OLD, 1)
    vzarr.refresh(repo)
    check(repo, files)


def test_it_is_left_out(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, OLD if n < 1 else (*OLD, "snow")) for n in range(3)]
    repo = tmp_path / "repo"
    vzarr.build(files[:1], repo)
    with pytest.raises(InputError, match="--drop snowy: no file has a variable"):
        vzarr.append(files[:2], repo, drop=["snowy"])
    with pytest.raises(InputError, match="--drop rain: the store has it"):
        vzarr.append(files[:2], repo, drop=["rain"])
    assert vzarr.append(files[:2], repo, drop=["snow"]).began == []
    check(repo, files[:2], ("snow",))
    assert vzarr.append(files[:2], repo, drop=["snow"]).snapshot is None
    assert vzarr.append(files, repo).began == []  # it is remembered
    check(repo, files, ("snow",))
    more = write(tmp_path / "data", 3, OLD)  # a name may be given on days that lack it
    vzarr.append(more, repo, drop=["snow"])
    check(repo, [*files, more], ("snow",))


def test_what_cannot_be_missing_is_refused_with_the_choice(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "data", 0, OLD),
        write(tmp_path / "data", 1, (*OLD, "snow"), snow=False),
    ]
    repo = tmp_path / "repo"
    vzarr.build(files[:1], repo)
    tip = vzarr.log(repo)
    with pytest.raises(Refused, match=r"snow: the variable is present.*--drop snow"):
        vzarr.append(files, repo)
    assert vzarr.log(repo) == tip
    vzarr.append(files, repo, drop=["snow"])
    check(repo, files, ("snow",))


def test_a_rollback_takes_it_back(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, OLD if n < 1 else (*OLD, "snow")) for n in range(2)]
    repo = tmp_path / "repo"
    built = vzarr.build(files[:1], repo)
    vzarr.append(files, repo)
    vzarr.rollback(repo, built.snapshot)
    assert "snow" not in check(repo, files[:1])
    vzarr.append(files, repo)
    check(repo, files)


def test_inserting_and_dropping(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, (*OLD, "snow") if n == 1 else OLD) for n in range(3)]
    repo = tmp_path / "repo"
    vzarr.build([files[0], files[2]], repo)
    vzarr.append(files, repo, insert=True, drop=["snow"])
    check(repo, files, ("snow",))
