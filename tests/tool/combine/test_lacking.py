"""Groups that some files have not got, as step 0 of a forecast has no totals."""

from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
import zarr
from stores import opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.repository.open import open_repository
from vzarr.sources.schemes import Access
from vzarr.verification.store import compare_store
from worlds.grib import at, field, over, write

TEMPERATURE, PRESSURE, RAIN, KIND = (0, 0, 0), (0, 3, 0), (0, 1, 8), (0, 1, 192)
STEPS = (0, 3, 6, 9)
ACCESS = Access()


def step_file(folder: Path, step: int, with_totals: bool | None = None, seed: int = 0) -> str:
    """Temperature and pressure; behind step 0 rain, its kind and the highest temperature."""
    random = np.random.default_rng([step, seed])
    now = {"forecastTime": step}
    parts = [field(random, TEMPERATURE, **at(103, 2), **now)]
    parts.append(field(random, PRESSURE, **at(1), **now))
    if step > 0 if with_totals is None else with_totals:
        begin = max(step - 3, 0)
        parts.append(field(random, RAIN, **at(1), **over(begin, step)))
        parts.append(field(random, KIND, **at(1), **now))
        parts.append(field(random, TEMPERATURE, **at(103, 2), **over(begin, step, statistic=2)))
    return str(write(folder / f"gfs.f{step:03d}.grib2", *parts))


def series(folder: Path) -> list[str]:
    return [step_file(folder, step) for step in STEPS]


def assert_right(repository: Path, files: list[str]) -> dict[str, xr.Dataset]:
    """Each value by cfgrib, at the step that it has there; and no step more."""
    stored = opened(repository)
    places = {
        "sfc/acc": ("apcp", {"shortName": "tp"}),
        "sfc/instant": ("crain", {"shortName": "crain"}),
        "hag/max": ("tmp", {"stepType": "max"}),
        "hag/instant": ("tmp", {"shortName": "2t"}),
    }
    for group, (name, keys) in places.items():
        count = 0
        for file in files:
            options = {"filter_by_keys": keys, "indexpath": "", "decode_timedelta": True}
            with xr.open_dataset(file, engine="cfgrib", **options) as source:
                for truth in source.data_vars.values():
                    found = stored[group][name].sel(time=truth.valid_time.values)
                    np.testing.assert_allclose(found.values, truth.values, rtol=1e-6)
                    hours = truth.step.values / np.timedelta64(1, "h")
                    assert found.step.values == hours
                    count += 1
        there = np.isfinite(stored[group][name].values).all(axis=(1, 2))
        assert there.sum() == count > 0
        assert (group == "sfc/instant") or there.all()
    report = verify_repository(str(repository), ACCESS, sample=None)
    assert report.failures == []
    return stored


@pytest.mark.parametrize("batch", [None, 1, 2])
def test_step_0_has_no_totals(tmp_path: Path, batch: int | None) -> None:
    files = series(tmp_path)
    built = build(files, str(tmp_path / "repo"), ACCESS, batch=batch)
    assert f"file://{files[0]}: has no sfc/acc, hag/max: no records there" in built.notes
    stored = assert_right(tmp_path / "repo", files)
    assert stored["sfc/acc"].step.values.tolist() == [3, 6, 9]
    assert stored["sfc/instant"].step.values.tolist() == [0, 3, 6, 9]
    assert built.native == {}


@pytest.mark.parametrize("first", [1, 2, 3])
@pytest.mark.parametrize("each", [1, 3])
def test_files_follow_whatever_they_lack(tmp_path: Path, first: int, each: int) -> None:
    """Groups and variables that begin with an append, as of a run that is appended as it comes."""
    files = series(tmp_path)
    repository = str(tmp_path / "repo")
    build(files[:first], repository, ACCESS)
    for begin in range(first, len(files), each):
        append(files[: begin + each], repository, ACCESS)
    stored = assert_right(tmp_path / "repo", files)
    build(files, str(tmp_path / "whole"), ACCESS)
    for group, expected in opened(tmp_path / "whole").items():
        xr.testing.assert_identical(stored[group].load(), expected.load())
        assert set(stored[group].coords) == set(expected.coords)
    assert append(files, repository, ACCESS).appended == []


@pytest.mark.parametrize("history", ["build", "append"])
def test_a_later_file_has_no_totals(tmp_path: Path, history: str) -> None:
    files = [step_file(tmp_path, step, step not in (0, 6)) for step in STEPS]
    repository = str(tmp_path / "repo")
    build(files[: 2 if history == "append" else None], repository, ACCESS)
    if history == "append":
        append(files[2:3], repository, ACCESS)
        append(files[3:], repository, ACCESS)
    stored = assert_right(tmp_path / "repo", files)
    assert stored["sfc/acc"].step.values.tolist() == [3, 9]


def issue_again(folder: Path, step: int, with_totals: bool) -> str:
    path = step_file(folder, step, with_totals, seed=1)
    os.utime(path, (1e9, 1e9))
    return path


def test_refresh_of_files_with_and_without_a_group(tmp_path: Path) -> None:
    files = series(tmp_path)
    repository = str(tmp_path / "repo")
    build(files, repository, ACCESS)
    for step in (0, 3):
        issue_again(tmp_path, step, with_totals=step > 0)
    assert len(refresh(repository, ACCESS).changed) == 2
    assert_right(tmp_path / "repo", files)


@pytest.mark.parametrize(("step", "what"), [(0, "the length of time"), (3, "has no group")])
def test_refresh_refuses_a_group_that_comes_or_goes(tmp_path: Path, step: int, what: str) -> None:
    """In the middle of a series: all that follow would have to move."""
    files = series(tmp_path)
    repository = str(tmp_path / "repo")
    build(files, repository, ACCESS)
    issue_again(tmp_path, step, with_totals=step == 0)
    with pytest.raises(Refused, match=what):
        refresh(repository, ACCESS)


@pytest.mark.parametrize("has_totals", [True, False])
def test_the_last_file_comes_back_with_or_without_totals(tmp_path: Path, has_totals: bool) -> None:
    """As of a step that was appended before it was complete."""
    files = [step_file(tmp_path, step, step in (3, 6)) for step in STEPS]
    if not has_totals:
        step_file(tmp_path, 9, with_totals=True)
    repository = str(tmp_path / "repo")
    build(files, repository, ACCESS)
    issue_again(tmp_path, 9, with_totals=has_totals)
    append(files, repository, ACCESS, replace_known=True)
    stored = assert_right(tmp_path / "repo", files)
    assert stored["sfc/acc"].step.values.tolist() == ([3, 6, 9] if has_totals else [3, 6])


def test_verify_finds_a_group_that_a_file_has_and_the_store_has_not(tmp_path: Path) -> None:
    """A file that was issued again with totals: its values of before are right, it has more."""
    files = series(tmp_path)
    repository = str(tmp_path / "repo")
    build(files, repository, ACCESS)
    step_file(tmp_path, 0, with_totals=True)
    report = verify_repository(repository, ACCESS, sample=None)
    assert any("has shape (0, 6, 8), in the file (1, 6, 8)" in str(f) for f in report.failures)


def test_files_without_a_group_in_common_are_refused(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    other = write(tmp_path / "z.grib2", field(random, RAIN, **at(101), forecastTime=30))
    with pytest.raises(Refused, match="the group is absent"):
        build([*series(tmp_path), str(other)], str(tmp_path / "repo"), ACCESS)


def grouped(path: Path, day: int, groups: dict[str, bool], root: bool = False) -> str:
    """Groups, each with a coordinate or without; or the root's."""
    with netCDF4.Dataset(path, "w") as file:
        owners = {"": file} if root else {}
        for name in groups:
            owners[name] = file.createGroup(name)
        for name, owner in owners.items():
            if name == "" or not root:
                owner.createDimension("time", None)
            if groups.get(name, True) and (name == "" or not root):
                time = owner.createVariable("time", "f8", ("time",))
                time.units = "days since 2000-01-01"
                time[:] = [day]
            owner.createVariable("v", "f4", ("time",), fill_value=np.nan)[:] = [day]
    return str(path)


def test_groups_whose_records_nothing_tells_are_refused(tmp_path: Path) -> None:
    files = [grouped(tmp_path / "a0.nc", 0, {"a": True})]
    files.append(grouped(tmp_path / "a1.nc", 1, {"a": True, "b": False}))
    with pytest.raises(Refused, match="/b: the group is absent"):
        build(files, str(tmp_path / "repo"), ACCESS, concat_dim="time")


def test_groups_that_share_the_root_s_records_are_refused(tmp_path: Path) -> None:
    files = [grouped(tmp_path / "a0.nc", 0, {"a": True}, root=True)]
    files.append(grouped(tmp_path / "a1.nc", 1, {"a": True, "b": True}, root=True))
    with pytest.raises(Refused, match="/b: the group is absent"):
        build(files, str(tmp_path / "repo"), ACCESS, concat_dim="time")


def test_groups_of_other_formats(tmp_path: Path) -> None:
    files = [grouped(tmp_path / "a0.nc", 0, {"a": True})]
    files.append(grouped(tmp_path / "a1.nc", 1, {"a": True, "b": True}))
    build(files, str(tmp_path / "repo"), ACCESS, concat_dim="time")
    stored = opened(tmp_path / "repo")
    assert stored["a"].v.values.tolist() == [0, 1]
    assert stored["b"].time.values.tolist() == [np.datetime64("2000-01-02", "ns").astype(int)]
    assert verify_repository(str(tmp_path / "repo"), ACCESS, sample=None).failures == []


def test_inspect_shows_one_set(tmp_path: Path) -> None:
    files = series(tmp_path)
    (found,) = inspect_files(files, ACCESS).sets
    assert found.files == [f"file://{file}" for file in files]
    assert any(
        "has no hag/max, sfc/acc, sfc/instant/crain: missing" in note for note in found.notes
    )
    assert found.references == 17


@pytest.mark.parametrize("path", ["sfc/acc/time", "sfc/acc/apcp_bounds", "sfc/acc/step"])
def test_verify_finds_wrong_labels_of_a_group_with_fewer_records(tmp_path: Path, path: str) -> None:
    """All values are right, and each is of the step before."""
    repository = str(tmp_path / "repo")
    build(series(tmp_path), repository, ACCESS)
    opened_repository, _, held = open_repository(repository, ACCESS)
    session = opened_repository.writable_session("main")
    array = zarr.open_array(session.store, path=path, mode="r+")
    array[:] = np.asarray(array[:]) - (3 if path.endswith("step") else 3 * 3600)
    report = compare_store(session.store, held.metadata, ACCESS)
    assert len({failure.url for failure in report.failures if failure.url}) == 3
