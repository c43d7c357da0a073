"""Files and records taken out of a store: what is left reads as its sources, and grows."""

from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from months import Month, read
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.log import read_log
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.remove import Removed, remove
from vzarr.commands.rollback import rollback
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access
from vzarr.verification.open import open_store


def write(folder: Path, number: int, **options: object) -> str:
    """A file of 4 days from day 4 * ``number`` on, in chunks of ``chunk``; ``mask`` stored once."""
    chunk, group, seed = (options.get(*each) for each in (("chunk", 2), ("group", ""), ("seed", 0)))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"f{number:02}.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.title = options.get("title", "an archive")
        room = file.createGroup(group) if group else file
        for name, size in (("time", None), ("nv", 2), ("y", 3)):
            room.createDimension(name, size)
        time = room.createVariable("time", "f8", ("time",))
        time.units, time.bounds = "days since 2000-01-01", "time_bnds"
        days = 4.0 * number + np.arange(4)
        time[:] = days
        room.createVariable("time_bnds", "f8", ("time", "nv"))[:] = np.stack([days, days + 1], 1)
        room.createVariable("y", "f8", ("y",))[:] = np.arange(3)
        room.createVariable("mask", "f4", ("y",), zlib=True)[:] = [1, 0, 1]
        shape = {"zlib": True, "chunksizes": (chunk, 3), "fill_value": -99}
        v = room.createVariable("rain", "f4", ("time", "y"), **shape)
        v[:] = np.random.default_rng([number, seed]).normal(size=(4, 3))
        if options.get("count"):
            room.createVariable("count", "i4", ("time",))[:] = np.arange(4)
    os.utime(path, (1.7e9 + number, 1.7e9 + number))
    return str(path)


def stored(repository: Path, group: str = "") -> xr.Dataset:
    repo = open_any_repository(str(repository), Access())
    return open_store(repo.readonly_session("main").store, group).load()


def truth(files: list[str], group: str = "") -> xr.Dataset:
    parts = [xr.open_dataset(file, engine="netcdf4", group=group or None).load() for file in files]
    options = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}
    return xr.concat(parts, "time", **options)


def passes(repository: Path) -> None:
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed, report.failures


def reads_as(repository: Path, files: list[str], group: str = "") -> None:
    xr.testing.assert_equal(stored(repository, group), truth(files, group))
    passes(repository)


def take(repository: Path, *files: str, **options: object) -> Removed:
    return remove(str(repository), Access(), list(files), **options)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [write(tmp_path / "data", n) for n in range(5)]


@pytest.fixture
def repo(tmp_path: Path, files: list[str]) -> Path:
    build(files, str(tmp_path / "repo"), Access())
    return tmp_path / "repo"


@pytest.mark.parametrize("numbers", [(0,), (2,), (4,), (0, 1), (1, 3), (0, 2, 4)])
@pytest.mark.parametrize("gone", [True, False])
def test_files_go_and_the_axis_is_closed(
    repo: Path, files: list[str], numbers: tuple, gone: bool
) -> None:
    for number in numbers if gone else ():
        Path(files[number]).unlink()
    done = take(repo, *(files[n] for n in numbers))
    assert done.files == [f"file://{files[n]}" for n in numbers]
    assert done.records == {"/": 4 * len(numbers)}
    rest = [file for n, file in enumerate(files) if n not in numbers]
    reads_as(repo, rest)
    (commit, *_) = read_log(str(repo), Access())
    assert (commit.command, commit.counts) == ("remove", {"removed": len(numbers)})
    more = write(Path(files[0]).parent, 5)
    append([more], str(repo), Access())
    reads_as(repo, [*rest, more])
    assert refresh(str(repo), Access()).vanished == {}


def test_a_removed_file_comes_back_if_it_is_named_alone(repo: Path, files: list[str]) -> None:
    take(repo, files[2])
    done = append(files, str(repo), Access(), insert=True)  # as a pattern names it
    assert (done.snapshot, done.removed) == (None, [f"file://{files[2]}"])
    assert append([files[2]], str(repo), Access(), insert=True).inserted == [f"file://{files[2]}"]
    reads_as(repo, files)
    assert append(files, str(repo), Access()).removed == []


def test_a_removed_file_comes_back_when_it_was_issued_again(repo: Path, files: list[str]) -> None:
    take(repo, files[2])
    write(Path(files[2]).parent, 2, seed=1)
    os.utime(files[2], (1.8e9, 1.8e9))
    assert append(files, str(repo), Access(), insert=True).inserted == [f"file://{files[2]}"]
    reads_as(repo, files)


def test_rollback_and_older_snapshots_show_it(repo: Path, files: list[str]) -> None:
    done = take(repo, f"{Path(files[0]).parent}/f0[01].nc")
    older = open_any_repository(str(repo), Access()).readonly_session(snapshot_id=done.before)
    xr.testing.assert_equal(open_store(older.store).load(), truth(files))
    rollback(str(repo), Access(), done.before)
    reads_as(repo, files)


@pytest.mark.parametrize(
    ("options", "days"),
    [
        ({"records": "..2000-01-08"}, range(8)),
        ({"records": "2000-01-17.."}, range(16, 20)),
        ({"records": "2000-01-07..2000-01-10"}, range(6, 10)),
        ({"index": "2..3"}, range(2, 4)),
        ({"index": "18..19"}, range(18, 20)),
    ],
)
def test_records_go(repo: Path, files: list[str], options: dict, days: range) -> None:
    whole = truth(files)
    done = take(repo, **options)
    assert done.records == {"/": len(days)}
    rest = whole.isel(time=[n for n in range(20) if n not in days])
    xr.testing.assert_equal(stored(repo), rest)
    passes(repo)
    more = write(Path(files[0]).parent, 5)
    append([*files, more], str(repo), Access())
    xr.testing.assert_equal(stored(repo), xr.concat([rest, truth([more])], "time", "minimal"))
    passes(repo)


def test_records_go_again_and_again(repo: Path, files: list[str]) -> None:
    """A window that moves by less than a file."""
    whole = truth(files)
    for day in range(2, 14, 2):
        take(repo, records=f"..2000-01-{day:02}")
        xr.testing.assert_equal(stored(repo), whole.isel(time=slice(day, None)))
        passes(repo)


def test_a_file_of_which_records_are_gone_is_not_replaced(repo: Path, files: list[str]) -> None:
    take(repo, index="6..7")
    write(Path(files[1]).parent, 1, seed=1)
    os.utime(files[1], (1.8e9, 1.8e9))
    words = r"f01.nc: some of its records were removed.* remove the whole file, and append it again"
    with pytest.raises(Refused, match=words):
        append(files, str(repo), Access(), replace_known=True)
    take(repo, files[1])
    append(files, str(repo), Access(), insert=True)
    reads_as(repo, files)


@pytest.mark.parametrize("numbers", [(1,), (0, 4)])
def test_a_gap_is_left(repo: Path, files: list[str], numbers: tuple) -> None:
    for number in numbers:
        Path(files[number]).rename(files[number] + ".bad")
    take(repo, *(files[n] for n in numbers), leave_gap=True)
    for number in numbers:
        Path(files[number] + ".bad").rename(files[number])
    expected = truth(files)
    for number in numbers:
        expected.rain[4 * number : 4 * number + 4] = np.nan
    xr.testing.assert_equal(stored(repo), expected)
    passes(repo)
    more = write(Path(files[0]).parent, 5)
    assert append([*files, more], str(repo), Access()).appended == [f"file://{more}"]
    assert refresh(str(repo), Access()).snapshot is None
    append([files[n] for n in numbers], str(repo), Access())  # named alone, they fill it
    reads_as(repo, [*files, more])


def test_a_gap_of_records(repo: Path, files: list[str]) -> None:
    take(repo, records="2000-01-07..2000-01-10", leave_gap=True)
    expected = truth(files)
    expected.rain[6:10] = np.nan
    xr.testing.assert_equal(stored(repo), expected)
    passes(repo)
    take(repo, records="2000-01-05..2000-01-08")  # a part of the gap is closed
    xr.testing.assert_equal(stored(repo), expected.isel(time=[*range(4), *range(8, 20)]))
    passes(repo)


def test_values_in_a_gap_are_found(repo: Path, files: list[str]) -> None:
    take(repo, files[1], leave_gap=True)
    repository = open_any_repository(str(repo), Access())
    with repository.transaction("main", message="by hand") as store:
        import zarr

        zarr.open_array(store, path="rain", mode="r+")[4:6] = 1.0
    report = verify_repository(str(repo), Access(), sample=None)
    assert any("rain has values in time[4:8], which is a gap" in str(f) for f in report.failures)


def test_a_gap_where_nothing_reads_as_missing_is_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, count=True) for n in range(3)]
    build(files, str(tmp_path / "repo"), Access())
    with pytest.raises(Refused, match="count: no number in it reads as missing"):
        take(tmp_path / "repo", files[1], leave_gap=True)
    take(tmp_path / "repo", files[1])
    reads_as(tmp_path / "repo", [files[0], files[2]])


def test_records_inside_a_chunk_name_what_can_go(repo: Path, files: list[str]) -> None:
    with pytest.raises(Refused, match=r"What can go is --index 4\.\.7\. Nothing was committed"):
        take(repo, index="5..6")
    with pytest.raises(Refused, match=r"What can go is --index 4\.\.7\. Nothing was committed"):
        take(repo, index="5..6", leave_gap=True)
    take(repo, index="4..7")
    reads_as(repo, [file for n, file in enumerate(files) if n != 1])


def test_what_is_stored_once_lies_in_a_file_that_is_there(repo: Path, files: list[str]) -> None:
    Path(files[0]).unlink()
    done = take(repo, files[0])
    assert done.notes == [f"what is stored once is read from file://{files[4]} from now on"]
    reads_as(repo, files[1:])


def test_without_such_a_file_it_is_refused(repo: Path, files: list[str]) -> None:
    for file in files:
        Path(file).unlink()
    with pytest.raises(Refused, match="what is stored once lies in it, and no other source is"):
        take(repo, files[0])


def test_groups(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, group="a") for n in range(3)]
    build(files, str(tmp_path / "repo"), Access())
    take(tmp_path / "repo", files[1])
    reads_as(tmp_path / "repo", [files[0], files[2]], "a")


def test_an_archive_that_moved(repo: Path, files: list[str]) -> None:
    take(repo, files[1], leave_gap=True)
    take(repo, files[3])
    old = Path(files[0]).parent
    new = old.with_name("there")
    old.rename(new)
    repoint(str(repo), Access(), str(old), str(new))
    passes(repo)
    moved = [str(new / Path(file).name) for file in files]
    assert append(moved, str(repo), Access()).removed == [f"file://{moved[n]}" for n in (1, 3)]
    append([moved[1]], str(repo), Access())
    append([moved[3]], str(repo), Access(), insert=True)
    reads_as(repo, moved)


def test_an_attribute_that_only_a_removed_file_contradicted(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, title=str(n == 1)) for n in range(3)]
    build(files, str(tmp_path / "repo"), Access())
    take(tmp_path / "repo", files[1])
    reads_as(tmp_path / "repo", [files[0], files[2]])


@pytest.mark.parametrize("numbers", [(0,), (2,), (4,)])
@pytest.mark.parametrize(
    ("layout", "irregular"),
    [("whole", "rectilinear"), ("tens", "rectilinear"), ("tens", "copy"), ("netcdf3", None)],
)
def test_months_of_unequal_length(
    tmp_path: Path, layout: str, irregular: str | None, numbers: tuple
) -> None:
    files = [Month(n, layout).write(tmp_path / "data") for n in range(5)]
    repo = tmp_path / "repo"
    build(files, str(repo), Access(), irregular=irregular)
    take(repo, *(files[n] for n in numbers))
    rest = [file for n, file in enumerate(files) if n not in numbers]
    xr.testing.assert_equal(stored(repo), read(rest))
    passes(repo)
    append([files[n] for n in numbers], str(repo), Access(), insert=True)
    xr.testing.assert_equal(stored(repo), read(files))
    passes(repo)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "Name what is to go: either files, or --records, or --index."),
        ({"records": "2000-01-01"}, "no range of records, as --records 2024-01-01..2024-01-03 is"),
        ({"records": "x.."}, "x..: no range of time, whose values are from 2000-01-01 00:00:00"),
        ({"records": "2001-01-01.."}, "has no such records; it has 2000-01-01 00:00:00 to"),
        ({"index": "3..99"}, r"has the records 0\.\.19"),
        ({"index": "a..b"}, "not two numbers"),
    ],
)
def test_what_names_nothing_is_refused(repo: Path, options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        take(repo, **options)


def test_a_file_that_is_no_source(repo: Path, files: list[str]) -> None:
    with pytest.raises(InputError, match=r"no source of .* has this name; it has 5, from"):
        take(repo, "other.nc")
    take(repo, files[1])
    done = take(repo, files[1])  # safe to run twice
    assert (done.snapshot, done.absent) == (None, [f"file://{files[1]}"])


def test_nothing_would_be_left(repo: Path, files: list[str]) -> None:
    with pytest.raises(Refused, match="nothing would be left"):
        take(repo, *files)


def test_a_dry_run_changes_nothing(repo: Path, files: list[str]) -> None:
    done = take(repo, files[1], dry_run=True)
    assert (done.snapshot, done.records, done.left) == (None, {"/": 4}, {"/": 16})
    reads_as(repo, files)
