"""Stores along two dimensions grow along both: new members of old times, steps of no run before."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import vzarr
import xarray as xr
from killing import Kill, Killed, another_writer, run_killed
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

ALONG = {"concat_dim": "time", "inner": "member"}


def write(
    folder: Path,
    time: int,
    members: Iterable[float],
    *,
    kind: str = "f4",
    chunk: int = 1,
    seed: int = 0,
    days: int = 1,
    member_kind: str = "i4",
    labels: bool = False,
) -> str:
    """One file of ``days`` times and some members: virtual, numbers of both, of members, static."""
    members = list(members)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"f_{time:02}_{members[0]:04}.nc"
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("member", len(members)), ("x", 3)):
            file.createDimension(name, size)
        stamp = file.createVariable("time", "f8", ("time",))
        stamp.units = "days since 2000-01-01"
        stamp[:] = time + np.arange(days)
        file.createVariable("member", member_kind, ("member",))[:] = members
        file.createVariable("x", "f8", ("x",))[:] = np.arange(3)
        if labels:
            label = file.createVariable("label", str, ("member",))
            label[:] = np.array([f"m{member}" for member in members], object)
        options = {"fill_value": -1.0, "chunksizes": (days, chunk)}
        count = file.createVariable("count", "f8", ("time", "member"), **options)
        count[:] = [[10 * day + member for member in members] for day in range(time, time + days)]
        fill = -9999.0 if kind == "f4" else False
        options = {"zlib": True, "chunksizes": (days, chunk, 3), "fill_value": fill}
        t = file.createVariable("t", kind, ("time", "member", "x"), **options)
        random = np.random.default_rng([time, int(4 * abs(members[0])), seed])
        t[:] = random.integers(0, 99, (days, len(members), 3))
    os.utime(path, (1.7e9 + seed, 1.7e9 + seed))
    return str(path)


def check(repo: Path, files: Iterable[str]) -> xr.Dataset:
    """All is as xarray joins the files, places without one are missing; verify passes."""
    dataset = vzarr.open_dataset(repo).load()
    parts = []
    for file in files:
        with xr.open_dataset(file) as part:
            parts.append(part.load())
    truth = xr.merge(parts, join="outer", compat="no_conflicts", combine_attrs="drop_conflicts")
    xr.testing.assert_equal(dataset, truth.transpose("time", "member", "x"))
    assert dataset.t.dims == ("time", "member", "x")
    report = vzarr.verify(repo, sample=None)
    assert report.passed, report.failures
    return dataset


def cube(folder: Path, times: Iterable[int], members: Iterable[float], **how: Any) -> list[str]:
    return [write(folder, time, [member], **how) for time in times for member in members]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return tmp_path / "repo"


@pytest.mark.parametrize("new", [7, 0, 3], ids=["behind", "before", "between"])
def test_a_new_member_of_old_times(data: Path, repo: Path, new: int) -> None:
    files = cube(data, range(3), (1, 2, 5), labels=True)
    build(files, str(repo), Access(), **ALONG)
    more = cube(data, range(3), (new,), labels=True)
    done = append(more[:2], str(repo), Access())  # that of the last time is not there yet
    assert sorted(done.appended) == sorted(f"file://{file}" for file in more[:2])
    assert f"member has 4 places now, 1 more than before ({new})" in done.notes[0]
    dataset = check(repo, [*files, *more[:2]])
    assert np.isnan(dataset.t.sel(member=new)[2]).all()
    assert append([*files, *more[:2]], str(repo), Access()).snapshot is None
    done = append(more, str(repo), Access())
    assert (done.appended, done.notes) == ([f"file://{more[2]}"], [])
    check(repo, [*files, *more])
    write(data, 1, [2], seed=1, labels=True)  # files that moved are issued again
    vzarr.refresh(repo)
    check(repo, [*files, *more])


def test_a_new_time_with_a_member_that_none_had(data: Path, repo: Path) -> None:
    files = cube(data, range(2), (1, 2))
    build(files, str(repo), Access(), **ALONG)
    more = [*cube(data, (2,), (1, 2, 3)), write(data, 0, [4])]
    append(more, str(repo), Access())
    check(repo, [*files, *more])
    last = cube(data, range(4), range(6))
    append(last, str(repo), Access())
    check(repo, last)


def test_one_by_one_in_any_order(data: Path, repo: Path) -> None:
    files = cube(data, range(3), range(4))
    order = np.random.default_rng(5).permutation(12).tolist()
    build(files[5:6], str(repo), Access(), **ALONG)
    for number in order:
        append([files[number]], str(repo), Access(), insert=True)
    check(repo, files)


def test_files_of_several_members(data: Path, repo: Path) -> None:
    files = [write(data, time, (0, 1), chunk=2) for time in range(2)]
    build(files, str(repo), Access(), **ALONG)
    more = [write(data, time, (4, 5, 6), chunk=2) for time in range(2)]
    append(more, str(repo), Access())
    check(repo, [*files, *more])
    between = [write(data, time, (2, 3), chunk=2) for time in range(2)]
    with pytest.raises(Refused, match=r"the last of them partial: nothing can follow it\. .* own"):
        append(between, str(repo), Access())
    check(repo, [*files, *more])


def test_chunks_that_do_not_fit_are_refused(data: Path, repo: Path) -> None:
    files = [write(data, time, (0, 1, 6, 7), chunk=2) for time in range(2)]
    build(files, str(repo), Access(), **ALONG)
    odd = write(data, 0, (8,), chunk=1)
    for new, sentence in (
        (write(data, 0, (3,), chunk=1), "a new member would lie between those of this file"),
        (write(data, 0, (-1,), chunk=1), "which are not whole chunks of 2"),
        (odd, r"the chunk shape"),
        (write(data, 0, (9.5,), member_kind="f8"), "its member is 9.5, which member of the store"),
    ):
        with pytest.raises(Refused, match=f"{sentence}.*Nothing was committed"):
            append([new], str(repo), Access())
        os.remove(new)
    vzarr.build([write(data, 0, (8,), chunk=1)], repo.with_name("own"), concat_dim="time")
    check(repo, files)


def test_what_cannot_be_missing(data: Path, repo: Path) -> None:
    files = cube(data, range(2), (1, 2), kind="i2")
    build(files, str(repo), Access(), **ALONG)
    more = cube(data, range(2), (0,), kind="i2")
    with pytest.raises(Refused, match=r"t cannot be missing at the other values of time.*at once"):
        append(more[:1], str(repo), Access())
    append(more, str(repo), Access())  # as the sentence says
    check(repo, [*files, *more])


def test_a_place_is_of_one_file(data: Path, repo: Path) -> None:
    files = [write(data, time, (0, 1)) for time in range(2)]
    build(files, str(repo), Access(), **ALONG)
    with pytest.raises(Refused, match=r"has the same time and member as .*f_00_0000\.nc"):
        append([write(data, 0, (1,), seed=3)], str(repo), Access())
    with pytest.raises(Refused, match=r"has the same time and member as .*f_00_0000\.nc"):
        append([write(data, 0, (1, 2), seed=3)], str(repo), Access())
    check(repo, files)


def test_chunks_of_unequal_length_along_time(data: Path, repo: Path) -> None:
    lengths = (3, 2, 4)
    starts = (0, 3, 5)

    def month(number: int, member: int) -> str:
        return write(data, starts[number], [member], days=lengths[number])

    files = [month(number, member) for number in range(3) for member in (0, 2)]
    build(files[:4], str(repo), Access(), irregular="rectilinear", **ALONG)
    more = [month(number, 1) for number in range(2)]
    append(more, str(repo), Access())
    check(repo, [*files[:4], *more])
    append([*files, month(2, 1)], str(repo), Access())
    check(repo, [*files, *more, month(2, 1)])


@pytest.mark.parametrize("in_process", [False, True])
def test_killed_at_any_step(data: Path, repo: Path, in_process: bool) -> None:
    files = cube(data, range(2), (1, 3))
    build(files, str(repo), Access(), **ALONG)
    more = [*cube(data, range(2), (2,)), write(data, 2, [4])]
    tip = vzarr.log(repo)[0].snapshot
    for step in range(0, 60, 3 if in_process else 1):
        try:
            done = run_killed(
                Kill(step, bool(step % 2), in_process), append, more, str(repo), Access()
            )
        except Killed:
            if vzarr.log(repo)[0].snapshot == tip:
                check(repo, files)
                continue
            done = append(more, str(repo), Access())
            assert done.snapshot is None
        break
    assert step > 2
    check(repo, [*files, *more])


@pytest.mark.parametrize("theirs", [(2,), (0,), (9,)])
def test_another_writer_in_between(data: Path, repo: Path, theirs: tuple[int, ...]) -> None:
    """Both bring a member, the same or another one, or a time more."""
    files = cube(data, range(2), (1, 3))
    build(files, str(repo), Access(), **ALONG)
    more = cube(data, range(2), (2,))
    other = cube(data, range(3), theirs)
    with another_writer(lambda: append(other, str(repo), Access())):
        append(more, str(repo), Access())
    check(repo, [*files, *{*more, *other}])
