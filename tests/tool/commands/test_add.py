"""``add``: variables of another product's files beside those of a store, and what follows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import vzarr
import xarray as xr
from killing import Kill, Killed, another_writer, run_killed
from months import Month, read
from vzarr.commands import add as command
from vzarr.errors import InputError, Refused


def write(
    folder: Path,
    name: str,
    start: int,
    steps: int = 4,
    seed: int = 0,
    kind: str = "f4",
    chunk: int = 2,
    shift: float = 0.0,
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_{start:03}.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.title, file.product = "An archive", name
        for dim, size in (("time", None), ("y", 3)):
            file.createDimension(dim, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = start + np.arange(steps)
        file.createVariable("y", "f8", ("y",))[:] = np.arange(3) + shift
        random = np.random.default_rng([start, len(name), seed])
        fill = -99 if kind == "f4" else False
        options = {"zlib": True, "chunksizes": (chunk, 3), "fill_value": fill}
        v = file.createVariable(name, kind, ("time", "y"), **options)
        v.units = name
        v[:] = random.integers(0, 90, (steps, 3))
    os.utime(path, (1.7e9 + seed, 1.7e9 + seed))
    return str(path)


def check(repository: Path, *products: list[str]) -> xr.Dataset:
    """The store against each product's files, concatenated, and joined to all records."""
    prefix = f"file://{Path(products[0][0]).parent}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    dataset = xr.open_zarr(store, consolidated=False, chunks=None).load()
    columns = []
    for files in products:
        parts = []
        for file in sorted(files):
            with xr.open_dataset(file) as part:
                parts.append(part.load())
        columns.append(xr.concat(parts, "time", data_vars="minimal", coords="minimal"))
    truth = xr.merge(columns, join="outer", compat="equals", combine_attrs="drop_conflicts")
    xr.testing.assert_equal(dataset, truth)
    assert dataset.attrs == {"title": "An archive"}
    for name in truth.data_vars:
        assert dataset[name].attrs["units"] == name
    report = vzarr.verify(repository, sample=None)
    assert report.passed, report.failures
    return dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def product(folder: Path, name: str, starts: range, **how: object) -> list[str]:
    return [write(folder, name, start, **how) for start in starts]


def test_a_product_is_added_and_both_grow(tmp_path: Path, data: Path) -> None:
    rain, wind = (product(data, name, range(0, 12, 4)) for name in ("rain", "wind"))
    repo = tmp_path / "repo"
    vzarr.build(rain[:2], repo)
    done = vzarr.add(wind[:2], repo)
    assert (done.variables, len(done.added), done.references) == (["wind"], 2, 4)
    check(repo, rain[:2], wind[:2])
    assert vzarr.add(wind[:2], repo).snapshot is None
    vzarr.append([*rain, *wind], repo)
    check(repo, rain, wind)
    assert vzarr.append([*rain, *wind], repo).snapshot is None
    for name, start in (("rain", 0), ("wind", 4)):  # each is issued again
        write(data, name, start, seed=1)
        vzarr.refresh(repo)
        check(repo, rain, wind)
    write(data, "wind", 0, seed=2)
    vzarr.append(wind, repo, replace=True)
    check(repo, rain, wind)


def test_steps_without_one_product(tmp_path: Path, data: Path) -> None:
    rain, wind = (product(data, name, range(0, 16, 4)) for name in ("rain", "wind"))
    repo = tmp_path / "repo"
    vzarr.build(rain[:2], repo)
    vzarr.add(wind[1], repo)
    check(repo, rain[:2], wind[1:2])
    vzarr.append(rain[2], repo)  # wind of it arrives later, behind a step of both
    check(repo, rain[:3], wind[1:2])
    vzarr.append([rain[3], wind[3]], repo)
    check(repo, rain, [wind[1], wind[3]])
    vzarr.append(wind, repo)
    check(repo, rain, wind)
    assert vzarr.append([*rain, *wind], repo).snapshot is None


@pytest.mark.parametrize("steps", [8, 2])
def test_files_of_other_lengths(tmp_path: Path, data: Path, steps: int) -> None:
    rain = product(data, "rain", range(0, 16, 4))
    wind = product(data, "wind", range(0, 16, steps), steps=steps)
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    if steps == 2:
        with pytest.raises(
            Refused, match=r"wind_000.nc: its records end within those of .*rain_000"
        ):
            vzarr.add(wind, repo)
        return
    vzarr.add(wind, repo)
    check(repo, rain, wind)


def test_what_cannot_stand_beside_is_refused(tmp_path: Path, data: Path) -> None:
    rain = product(data, "rain", range(0, 8, 4))
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    log = vzarr.log(repo)
    with pytest.raises(Refused, match=r"y: the value is 0.5, but 0.0 in .*repo.*own"):
        vzarr.add(write(data, "wind", 0, shift=0.5), repo)
    with pytest.raises(Refused, match=r"time 2000-01-\d\d 00:00:00 is not in .*append"):
        vzarr.add(write(data, "wind", 6), repo)
    shutil.copy(rain[0], data / "copy.nc")
    with netCDF4.Dataset(data / "copy.nc", "a") as file:
        file["rain"][:] = 1
    with pytest.raises(Refused, match=r"rain is in .*rain_000.nc at the same records.*--replace"):
        vzarr.add(data / "copy.nc", repo)
    with pytest.raises(Refused, match=r"flag cannot be missing .*--drop flag"):
        vzarr.add(write(data, "flag", 0, kind="i2"), repo)
    with pytest.raises(Refused, match=r"ice: chunks of 3 along time do not begin and end"):
        vzarr.add(product(data, "ice", range(0, 8, 4), chunk=3), repo)
    with pytest.raises(InputError, match="--drop snow: no file has a variable"):
        vzarr.add(write(data, "hail", 0), repo, drop=["snow"])
    assert vzarr.log(repo) == log
    flag = product(data, "flag", range(0, 8, 4), kind="i2")
    vzarr.add(flag, repo)
    check(repo, rain, flag)


def test_append_tells_other_variables_from_files_issued_again(tmp_path: Path, data: Path) -> None:
    rain, wind = (product(data, name, range(0, 8, 4)) for name in ("rain", "wind"))
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    with pytest.raises(Refused, match=r"wind_000.nc: .*virtual_zarr.py add"):
        vzarr.append(wind, repo)
    with pytest.raises(Refused, match=r"virtual_zarr.py add"):
        vzarr.append(wind, repo, replace=True)
    vzarr.add(wind, repo)
    check(repo, rain, wind)


def test_an_archive_that_moves_and_a_rollback(tmp_path: Path, data: Path) -> None:
    rain, wind = (product(data, name, range(0, 8, 4)) for name in ("rain", "wind"))
    repo = tmp_path / "repo"
    built = vzarr.build(rain, repo)
    vzarr.add(wind, repo)
    shutil.move(data, tmp_path / "there")
    vzarr.relocate(repo, str(data), str(tmp_path / "there"))
    moved = [[f"{tmp_path}/there/{Path(f).name}" for f in files] for files in (rain, wind)]
    check(repo, *moved)
    shutil.move(tmp_path / "there", data)
    vzarr.rollback(repo, built.snapshot)
    assert list(check_names(repo)) == ["rain"]


def check_names(repository: Path) -> list[str]:
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    store = repo.readonly_session("main").store
    return list(xr.open_zarr(store, consolidated=False, chunks=None).data_vars)


@pytest.mark.parametrize("in_process", [False, True])
def test_a_kill_leaves_main_as_it_was_or_all_of_it(
    tmp_path: Path, data: Path, in_process: bool
) -> None:
    rain, wind = (product(data, name, range(0, 8, 4)) for name in ("rain", "wind"))
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    step = 0
    while True:
        kill = Kill(step, after=bool(step % 2), in_process=in_process)
        try:
            run_killed(kill, vzarr.add, wind, str(repo))
        except Killed:
            assert sorted(check_names(repo)) in (["rain"], ["rain", "wind"])
            assert vzarr.verify(repo, sample=None).passed
        else:
            break
        step += 1 if not in_process else 3
    assert step
    check(repo, rain, wind)


@pytest.mark.parametrize("theirs", ["append", "add"])
def test_another_writer_in_between(tmp_path: Path, data: Path, theirs: str) -> None:
    """Both are in, whoever commits first; of two that add the same, one has nothing left to do."""
    rain, wind = (product(data, name, range(0, 12, 4)) for name in ("rain", "wind"))
    repo = tmp_path / "repo"
    vzarr.build(rain[:2], repo)

    def write_first() -> None:
        if theirs == "append":
            vzarr.append(rain, repo)
        else:
            vzarr.add(wind[:2], repo)

    with another_writer(write_first, command):
        done = vzarr.add(wind[:2], repo)
    assert (done.snapshot is None) == (theirs == "add")
    check(repo, rain if theirs == "append" else rain[:2], wind[:2])
    assert vzarr.add(wind[:2], repo).snapshot is None


def months(folder: Path, layout: str) -> list[str]:
    """Files of another variable, each with the days of a month."""
    files = []
    for number in range(5):
        file = Month(number, layout, seed=3).write(folder)
        with netCDF4.Dataset(file, "a") as month:
            month.renameVariable("pr", "tas")
        os.utime(file, (1.7e9, 1.7e9))
        files.append(file)
    return files


@pytest.mark.parametrize("irregular", ["rectilinear", "copy"])
@pytest.mark.parametrize("layout", ["whole", "tens"])
def test_months_of_unequal_length(tmp_path: Path, data: Path, layout: str, irregular: str) -> None:
    """A new variable has the chunks of its files, in a store of which the others have those."""
    rain = [Month(number, layout).write(data / "rain") for number in range(5)]
    tas = months(data / "tas", layout)
    repo = tmp_path / "repo"
    vzarr.build(rain[:4], repo, irregular=irregular)
    added = vzarr.add([tas[0], tas[2]], repo)
    assert added.variables == ["tas"]

    def reads_as(rain: list[str], tas: list[str]) -> None:
        truth = xr.merge([read(rain), read(tas)], join="outer", compat="equals")
        xr.testing.assert_equal(vzarr.open_dataset(repo).load(), truth)
        report = vzarr.verify(repo, sample=None)
        assert report.passed, report.failures

    reads_as(rain[:4], [tas[0], tas[2]])
    vzarr.append(tas[1], repo)
    reads_as(rain[:4], tas[:3])
    vzarr.append([*rain, *tas], repo)
    reads_as(rain, tas)


def test_without_a_choice_chunks_are_refused_with_what_works(tmp_path: Path, data: Path) -> None:
    rain = product(data, "rain", range(0, 8, 4))
    ice = product(data, "ice", range(0, 8, 4), chunk=3)
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    with pytest.raises(Refused, match=r"build the files of both together, with --irregular rect"):
        vzarr.add(ice, repo)
    both = tmp_path / "both"
    vzarr.build([*rain, *ice], both, irregular="rectilinear")
    check(both, rain, ice)


def test_a_store_along_two_dimensions_is_refused_with_what_works(
    tmp_path: Path, data: Path
) -> None:
    parts = {"rain": [], "wind": []}
    for name, files in parts.items():
        for time in range(2):
            for member in range(2):
                files.append(write(data / name, name, 4 * time + member, steps=1, chunk=1))
                with netCDF4.Dataset(files[-1], "a") as file:
                    file["time"][:] = time
                    file.createVariable("member", "i4", ())[...] = member
    repo = tmp_path / "repo"
    vzarr.build(parts["rain"], repo, concat_dim=("time", "member"))
    with pytest.raises(InputError, match="own, with --concat-dim time --concat-dim member: xarray"):
        vzarr.add(parts["wind"], repo)
    vzarr.build(parts["wind"], tmp_path / "own", concat_dim=("time", "member"))
    both = xr.merge([vzarr.open_dataset(repo), vzarr.open_dataset(tmp_path / "own")])
    assert {*both.data_vars} == {"rain", "wind"}


def test_records_behind_those_of_a_product_are_removed(tmp_path: Path) -> None:
    """Nothing of the product has to be moved then."""
    rain = [write(tmp_path / "rain", "rain", start) for start in (0, 4, 8)]
    wind = [write(tmp_path / "wind", "wind", 0)]
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    vzarr.add(wind, repo)
    assert vzarr.remove(repo, rain[1]).files == [f"file://{rain[1]}"]
    report = vzarr.verify(repo, sample=None)
    assert report.passed, report.failures
    assert vzarr.open_dataset(repo).wind.notnull().values.any(axis=1).tolist() == [
        *[True] * 4,
        *[False] * 4,
    ]


def test_attributes_of_a_file_written_again_beside_another_product(tmp_path: Path) -> None:
    """The other product's files have no say on variables that they lack."""
    rain, wind = [write(tmp_path / "rain", "rain", 0)], [write(tmp_path / "wind", "wind", 0)]
    repo = tmp_path / "repo"
    vzarr.build(rain, repo)
    vzarr.add(wind, repo)
    write(tmp_path / "rain", "rain", 0, seed=1)
    with netCDF4.Dataset(rain[0], "a") as file:
        file["rain"].edition = 2
    assert vzarr.refresh(repo).changed
    assert vzarr.open_dataset(repo).rain.edition == 2
    assert vzarr.verify(repo, sample=None).passed
