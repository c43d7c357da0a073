"""Neighbours that repeat steps: refused with a sentence whose options then build, exactly."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from stores import opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

LAYOUTS = {
    "steps": {"zlib": True, "chunksizes": (1, 4)},
    "pairs": {"zlib": True, "chunksizes": (2, 4)},
    "whole": {"zlib": True, "chunksizes": (7, 4)},
    "contiguous": {},
}


def week(
    folder: Path, number: int, layout: str, again: int = 1, days: int = 7, equal: bool = False
) -> str:
    """``days`` days that begin with the last ``again`` of the week before."""
    path = folder / f"week_{number}.nc"
    folder.mkdir(parents=True, exist_ok=True)
    begin = number * (7 - again)
    values = np.random.default_rng(0 if equal else number).random((100, 4))
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", days)
        file.createDimension("x", 4)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "days since 2024-01-01"
        time[:] = begin + np.arange(days)
        file.createVariable("v", "f8", ("time", "x"), **LAYOUTS[layout])[:] = values[
            begin : begin + days
        ]
        file.createVariable("x", "f4", ("x",))[:] = np.arange(4)
    return str(path)


def expected(files: list[str], which: str) -> xr.Dataset:
    """Each step once, as the first or the last file has it that holds it."""
    parts = [xr.open_dataset(file).load() for file in files]
    whole = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="override")
    return whole.drop_duplicates("time", keep=which)


def check(repo: Path, files: list[str], which: str) -> None:
    xr.testing.assert_equal(opened(repo)[""].load(), expected(files, which))
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, report.failures


@pytest.mark.parametrize("history", ["build", "batches", "append", "append one by one"])
@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("layout", list(LAYOUTS))
def test_the_steps_of_one_file_stay(tmp_path: Path, layout: str, which: str, history: str) -> None:
    files = [week(tmp_path, number, layout) for number in range(4)]
    repo, irregular = str(tmp_path / "store"), None
    if layout in ("pairs", "whole"):
        irregular = "rectilinear"
    options = {"irregular": irregular, "overlap": which}
    if history == "build":
        build(files, repo, Access(), **options)
    elif history == "batches":
        build(files, repo, Access(), batch=2, **options)
    elif history == "append":
        build(files[:2], repo, Access(), **options)
        append(files, repo, Access())
    else:
        build(files[:1], repo, Access(), **options)
        for number in range(1, 4):
            append(files[: number + 1], repo, Access())
    check(tmp_path / "store", files, which)
    assert not append(files, repo, Access()).snapshot


@pytest.mark.parametrize("which", ["first", "last"])
def test_whole_chunks_stay_virtual(tmp_path: Path, which: str) -> None:
    files = [week(tmp_path, number, "steps", again=2) for number in range(3)]
    built = build(files, str(tmp_path / "store"), Access(), overlap=which)
    assert built.share.native == 0
    assert built.references == 5 + 5 + 7
    pairs = [week(tmp_path / "pairs", number, "pairs") for number in range(3)]
    built = build(pairs, str(tmp_path / "edges"), Access(), overlap=which, irregular="rectilinear")
    row = 4 * 8
    # "first" leaves the second half of the first chunk of two files, and half of the last one of
    # two that others follow; "last" leaves three whole pairs of a week.
    rows = {"first": 2 + 2, "last": 0}
    assert built.ways.get("v", {"native": 0})["native"] == rows[which] * row


@pytest.mark.parametrize("equal", [True, False])
def test_the_refusal_says_whether_values_are_equal_and_its_options_build(
    tmp_path: Path, equal: bool
) -> None:
    files = [week(tmp_path, number, "steps", equal=equal) for number in range(2)]
    repo = str(tmp_path / "store")
    with pytest.raises(Refused) as refused:
        build(files, repo, Access())
    said = "all values are equal" if equal else "v has other values"
    assert f"It repeats one step, in which {said}: --overlap first keeps" in str(refused.value)
    build(files[:1], repo, Access())
    with pytest.raises(Refused, match=f"{said}: --overlap first .* --overlap last"):
        append(files, repo, Access())
    append(files, repo, Access(), overlap="last")
    check(tmp_path / "store", files, "last")
    build(files, str(tmp_path / "first"), Access(), overlap="first")
    check(tmp_path / "first", files, "first")


@pytest.mark.parametrize("days", [[0, 1, 2], [1, 2, 3, 4, 5, 6, 7]])
def test_no_choice_where_a_file_lies_within_another_or_between_its_steps(
    tmp_path: Path, days: list[int]
) -> None:
    files = [week(tmp_path, 0, "steps"), week(tmp_path, 1, "steps", days=len(days))]
    with netCDF4.Dataset(files[1], "a") as file:
        file["time"].units = "days since 2024-01-01 12:00" if len(days) > 3 else file["time"].units
        file["time"][:] = days
    with pytest.raises(Refused, match="Files must not overlap") as refused:
        build(files, str(tmp_path / "store"), Access())
    assert "--overlap" not in str(refused.value)
    with pytest.raises(Refused, match="Files must not overlap"):
        build(files, str(tmp_path / "store"), Access(), overlap="first")


@pytest.mark.parametrize("which", ["first", "last"])
@pytest.mark.parametrize("layout", ["steps", "pairs"])
def test_a_file_written_again_keeps_its_steps(tmp_path: Path, layout: str, which: str) -> None:
    files = [week(tmp_path, number, layout) for number in range(3)]
    repo = str(tmp_path / "store")
    build(files, repo, Access(), overlap=which, irregular="rectilinear")
    for number in range(3):
        with netCDF4.Dataset(files[number], "a") as file:
            file["v"][:] = file["v"][:] + 1 + number
        assert refresh(repo, Access()).snapshot
        check(tmp_path / "store", files, which)
    with netCDF4.Dataset(files[2], "a") as file:
        file["v"][:] = file["v"][:] - 1
    append(files, repo, Access(), replace_known=True)
    check(tmp_path / "store", files, which)


def test_refuse_copies_nothing(tmp_path: Path) -> None:
    files = [week(tmp_path, number, "pairs") for number in range(2)]
    with pytest.raises(Refused, match="begin inside a chunk"):
        build(files, str(tmp_path / "store"), Access(), overlap="first", irregular="refuse")
