"""Files that arrive late lie where they belong, in every form that a store has."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from months import Month, read
from vzarr.changes.append_request import Appended
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.rollback import rollback
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access
from vzarr.verification.open import open_store

NAMES = ("rain", "snow")


def write(folder: Path, number: int, **options: object) -> str:
    """A file of ``steps`` days from day 4 * ``number`` on, by default 4 in chunks of 2.

    Virtual variables, numbers and texts along time, and what is stored once; ``lacks`` a variable.
    """
    steps, chunk = int(options.get("steps", 4)), int(options.get("chunk", 2))
    group, seed = str(options.get("group", "")), options.get("seed", 0)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"f{number:02}.nc"
    with netCDF4.Dataset(path, "w") as file:
        room = file.createGroup(group) if group else file
        for name, size in (("time", None), ("y", 3)):
            room.createDimension(name, size)
        time = room.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = 4 * number + np.arange(steps)
        room.createVariable("y", "f8", ("y",))[:] = np.arange(3)
        room.createVariable("count", "i4", ("time",))[:] = 10 * number + np.arange(steps)
        text = room.createVariable("status", str, ("time",))
        text[:] = np.array([f"{'x' * day} of {number}" for day in range(steps)], object)
        for at, name in enumerate(NAMES):
            if name == options.get("lacks"):
                continue
            random = np.random.default_rng([number, at, seed])
            v = room.createVariable(
                name, "f4", ("time", "y"), zlib=True, chunksizes=(chunk, 3), fill_value=-99
            )
            v[:] = random.normal(size=(steps, 3))
    os.utime(path, (1.7e9 + number, 1.7e9 + number))
    return str(path)


def stored(repository: Path | str, group: str = "") -> xr.Dataset:
    repo = open_any_repository(str(repository), Access())
    return open_store(repo.readonly_session("main").store, group).load()


def reads_as(repository: Path | str, files: list[str], group: str = "") -> None:
    """All values are those of the files, in this order; all checks of verify pass."""
    parts = [xr.open_dataset(file, engine="netcdf4", group=group or None).load() for file in files]
    options = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}
    truth = xr.concat(parts, "time", **options)
    xr.testing.assert_equal(stored(repository, group), truth)
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed, report.failures


def insert(files: list[str], repository: Path | str, **options: object) -> Appended:
    return append(files, str(repository), Access(), **options)


@pytest.mark.parametrize("late", [(0,), (2,), (3,), (0, 2), (1, 2), (0, 1, 2, 3)])
@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_late_files_lie_where_they_belong(tmp_path: Path, late: tuple, chunk: int) -> None:
    files = [write(tmp_path / "data", n, chunk=chunk) for n in range(6)]
    repo = tmp_path / "repo"
    build([file for n, file in enumerate(files[:5]) if n not in late], str(repo), Access())
    done = insert(files, repo)
    assert done.inserted == [f"file://{files[n]}" for n in late]
    assert done.appended == [f"file://{files[5]}"]
    assert done.late == []
    reads_as(repo, files)
    assert insert(files, repo).snapshot is None  # all are known


def test_what_is_inserted_is_a_source_like_the_others(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n) for n in range(5)]
    repo = tmp_path / "repo"
    build([files[n] for n in (0, 2, 4)], str(repo), Access())
    insert([files[1], files[3]], repo)
    write(tmp_path / "data", 3, seed=1)
    os.utime(files[3], (1.8e9, 1.8e9))
    append(files, str(repo), Access(), replace_known=True)
    reads_as(repo, files)
    write(tmp_path / "data", 1, seed=1)
    os.utime(files[1], (1.8e9, 1.8e9))
    assert refresh(str(repo), Access()).changed.keys() == {f"file://{files[1]}"}
    reads_as(repo, files)
    (tmp_path / "data").rename(tmp_path / "there")
    files = [file.replace("/data/", "/there/") for file in files]
    repoint(str(repo), Access(), str(tmp_path / "data"), str(tmp_path / "there"))
    reads_as(repo, files)


def test_history_keeps_what_was_before(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n) for n in range(3)]
    repo = tmp_path / "repo"
    built = build([files[0], files[2]], str(repo), Access())
    insert(files, repo)
    rollback(str(repo), Access(), built.snapshot or "")
    reads_as(repo, [files[0], files[2]])


def test_a_last_file_that_ends_in_a_part_of_a_chunk(tmp_path: Path) -> None:
    """Nothing can follow it, but whole chunks can come before it, and it stays virtual."""
    files = [write(tmp_path / "data", n) for n in range(3)]
    files.append(write(tmp_path / "data", 3, steps=3))
    repo = tmp_path / "repo"
    build([files[0], files[3]], str(repo), Access())
    insert(files[1:2], repo)
    insert(files, repo)
    reads_as(repo, files)
    assert not {*NAMES} & verify_repository(str(repo), Access()).ways.keys()


def test_such_a_last_file_that_is_gone(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, steps=4 - n // 2) for n in range(3)]
    repo = tmp_path / "repo"
    build([files[0], files[2]], str(repo), Access())
    Path(files[2]).unlink()
    with pytest.raises(Refused, match=r"f02.nc: is gone, and it ends in a part of a chunk"):
        insert(files[:2], repo)


def test_a_file_that_lacks_a_variable(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, lacks="snow" if n == 1 else None) for n in range(3)]
    repo = tmp_path / "repo"
    build([files[0], files[2]], str(repo), Access())
    insert(files, repo)
    found = stored(repo)
    assert np.isnan(found.snow[4:8]).all()
    for n in (0, 2):
        with xr.open_dataset(files[n]) as source:
            xr.testing.assert_equal(found.isel(time=slice(4 * n, 4 * n + 4)), source)
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, report.failures


def test_groups(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, group="a") for n in range(4)]
    repo = tmp_path / "repo"
    build([files[0], files[3]], str(repo), Access())
    insert(files, repo)
    reads_as(repo, files, "a")


WAYS = [
    ("whole", "rectilinear"),
    ("whole", "copy"),
    ("tens", "rectilinear"),
    ("tens", "copy"),
    ("contiguous", None),
    ("netcdf3", None),
]


@pytest.mark.parametrize("late", [(0,), (2,), (1, 3), (0, 1, 2)])
@pytest.mark.parametrize(("layout", "irregular"), WAYS)
def test_months_of_unequal_length(
    tmp_path: Path, layout: str, irregular: str | None, late: tuple
) -> None:
    files = [Month(n, layout).write(tmp_path / "data") for n in range(6)]
    repo = tmp_path / "repo"
    early = [file for n, file in enumerate(files) if n not in late]
    build(early, str(repo), Access(), irregular=irregular)
    ways = verify_repository(str(repo), Access()).ways
    insert(files, repo)
    xr.testing.assert_equal(stored(repo), read(files))
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, report.failures
    assert {way["kind"] for way in report.ways.values()} >= {w["kind"] for w in ways.values()}
    files.append(Month(6, layout).write(tmp_path / "data"))
    append(files, str(repo), Access())
    xr.testing.assert_equal(stored(repo), read(files))


def test_many_rows_that_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than fit into memory: they change places by way of the store."""
    monkeypatch.setattr("vzarr.repository.rearranging.READ_AT_ONCE", 200)
    files = [Month(n).write(tmp_path / "data") for n in range(4)]
    repo = tmp_path / "repo"
    build([files[0], files[2], files[3]], str(repo), Access(), irregular="copy")
    insert(files, repo)
    xr.testing.assert_equal(stored(repo), read(files))
    groups = open_any_repository(str(repo), Access()).readonly_session("main").store
    assert not [name for name in xr.open_zarr(groups, consolidated=False) if "rows" in str(name)]


def test_good_files_are_taken_whatever_becomes_of_late_ones(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n) for n in range(5)]
    repo = tmp_path / "repo"
    build([files[n] for n in (0, 3)], str(repo), Access())
    done = append(files[2:], str(repo), Access(), insert=False)
    assert done.appended == [f"file://{files[4]}"]
    (sentence,) = done.late
    assert sentence == (
        f"file://{files[2]}: time: the first value is 2000-01-09 00:00:00, but has to be later "
        f"than 2000-01-16 00:00:00, the last in file://{repo}. It belongs in front of records that "
        "are there: put it there with --insert."
    )
    with pytest.raises(Refused, match=r"put it there with --insert\. Nothing was committed\."):
        append(files, str(repo), Access(), insert=False)
    assert append(files, str(repo), Access(), insert=False, skip_bad=True).snapshot is None
    bad = write(tmp_path / "data", 1, chunk=4)
    files.append(write(tmp_path / "data", 5))
    done = insert(files, repo)
    assert done.appended == [f"file://{files[5]}"]
    assert done.inserted == [f"file://{files[2]}"]
    assert len(done.late) == 1
    assert done.late[0].startswith(f"file://{bad}: ")
    assert "Nothing was committed" not in done.late[0]
    reads_as(repo, [files[n] for n in (0, 2, 3, 4, 5)])


@pytest.mark.parametrize(
    ("steps", "day", "sentence"),
    [
        (3, 5, r"cannot be inserted\. It overlaps file://.*f02\.nc, which has 2000-01-0"),
        (1, 9, r"cannot be inserted\. It overlaps file://.*f02\.nc, which has 2000-01-10"),
    ],
)
def test_what_overlaps_is_refused(tmp_path: Path, steps: int, day: int, sentence: str) -> None:
    files = [write(tmp_path / "data", n) for n in (0, 2)]
    repo = tmp_path / "repo"
    build(files, str(repo), Access())
    odd = write(tmp_path / "odd", 9, steps=steps, chunk=1)
    with netCDF4.Dataset(odd, "a") as file:
        file["time"][:] = day + 2 * np.arange(steps)
    with pytest.raises(Refused, match=sentence):
        insert([odd], repo)


def test_a_place_inside_a_file_is_refused(tmp_path: Path) -> None:
    first, last = (write(tmp_path / "data", n) for n in (0, 4))
    with netCDF4.Dataset(first, "a") as file:
        file["time"][:] = [0, 1, 8, 9]
    os.utime(first, (1.7e9, 1.7e9))
    repo = tmp_path / "repo"
    build([first, last], str(repo), Access())
    late = write(tmp_path / "data", 1)
    with pytest.raises(Refused, match=r"between records of file://.*f00\.nc, which is one file"):
        insert([late], repo)


def test_a_late_file_that_would_part_chunks_names_what_works(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, steps=3 if n == 1 else 4) for n in range(3)]
    repo = tmp_path / "repo"
    build([files[0], files[2]], str(repo), Access())
    with pytest.raises(Refused, match=r"choose --irregular rectilinear .* or --irregular copy"):
        insert(files, repo)
    insert(files, repo, irregular="rectilinear")
    reads_as(repo, files)


def test_another_writer_in_between(tmp_path: Path) -> None:
    from killing import another_inserter

    files = [write(tmp_path / "data", n) for n in range(5)]
    repo = tmp_path / "repo"
    build([files[n] for n in (0, 3)], str(repo), Access())
    with another_inserter(lambda: append([files[1], files[4]], str(repo), Access(), insert=True)):
        done = insert(files, repo)
    assert done.inserted == [f"file://{files[2]}"]
    reads_as(repo, files)


def test_the_order_in_which_files_arrive_does_not_matter(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n) for n in range(6)]
    repo = tmp_path / "repo"
    order = np.random.default_rng(3).permutation(6).tolist()
    build([files[order[0]]], str(repo), Access(), concat_dim="time")
    for number in order[1:]:
        insert([files[number]], repo)
    reads_as(repo, files)
    tip = open_any_repository(str(repo), Access())
    times = [snapshot.written_at for snapshot in tip.ancestry(branch="main")]
    assert all(later >= before for later, before in pairwise(times))
    assert isinstance(tip, icechunk.Repository)
