"""NetCDF files along two dimensions, a file for each run and lead time: one cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access
from vzarr.verification.open import open_store

RUNS, LEADS = ("2024-01-01", "2024-01-02"), (0, 6, 12)
ALONG = {"concat_dim": "init_time", "inner": "lead_time"}


def one(folder: Path, run: str, lead: int, scalar: bool) -> Path:
    """A file of one run and one lead time, each a scalar or a dimension of length one."""
    random = np.random.default_rng(lead + int(run[-2:]))
    sizes = (4, 6) if scalar else (1, 1, 4, 6)
    dims = ("lat", "lon") if scalar else ("init_time", "lead_time", "lat", "lon")
    coordinates = {"lat": np.arange(4.0), "lon": np.arange(6.0)}
    times = {"init_time": pd.Timestamp(run), "lead_time": lead}
    coordinates |= {name: value if scalar else [value] for name, value in times.items()}
    values = random.normal(size=sizes).astype("f4")
    path = folder / f"f_{run}_{lead:03d}.nc"
    dataset = xr.Dataset({"t2m": (dims, values)}, coordinates)
    dataset.to_netcdf(path, encoding={"t2m": {"zlib": True, "chunksizes": sizes}})
    return path


def stored(repository: Path) -> xr.Dataset:
    from vzarr.repository.open import open_repository

    _, session, _ = open_repository(str(repository), Access())
    return open_store(session.store, "")


def is_right(repository: Path, files: list[Path]) -> None:
    cube = stored(repository).t2m
    assert cube.dims == ("init_time", "lead_time", "lat", "lon")
    for file in files:
        with xr.open_dataset(file) as source:
            place = {name: source[name].values.item() for name in ("init_time", "lead_time")}
            place["init_time"] = np.datetime64(place["init_time"], "ns")
            np.testing.assert_array_equal(cube.sel(place).values, source.t2m.values.squeeze())
    assert verify_repository(str(repository), Access(), sample=None).failures == []


@pytest.mark.parametrize("scalar", [True, False])
def test_files_along_two_dimensions(scalar: bool, tmp_path: Path) -> None:
    files = [one(tmp_path, run, lead, scalar) for lead in LEADS for run in RUNS]
    repository = tmp_path / "repo"
    built = build([str(file) for file in files], str(repository), Access(), **ALONG)
    assert (built.virtual, built.native) == (["t2m"], {})
    is_right(repository, files)
    more = [one(tmp_path, "2024-01-03", lead, scalar) for lead in LEADS]
    append([str(file) for file in more], str(repository), Access())
    is_right(repository, [*files, *more])
    assert append([str(file) for file in more], str(repository), Access()).appended == []


@pytest.mark.parametrize("scalar", [True, False])
def test_one_dimension_says_that_there_are_two(scalar: bool, tmp_path: Path) -> None:
    files = [str(one(tmp_path, run, lead, scalar)) for run in RUNS for lead in LEADS]
    words = "--concat-dim init_time --concat-dim lead_time"
    with pytest.raises(Refused, match=words):
        build(files, str(tmp_path / "repo"), Access(), concat_dim="init_time")


@pytest.mark.parametrize("scalar", [True, False])
def test_a_hole_in_the_grid_is_missing_until_it_is_filled(scalar: bool, tmp_path: Path) -> None:
    files = [one(tmp_path, run, lead, scalar) for run in RUNS for lead in LEADS]
    repository = tmp_path / "repo"
    built = build([str(file) for file in files[:-1]], str(repository), Access(), **ALONG)
    assert any("init_time 2024-01-02T00:00, lead_time 12" in note for note in built.notes)
    is_right(repository, files[:-1])
    assert np.isnan(stored(repository).t2m.values[1, 2]).all()
    append([str(file) for file in files], str(repository), Access())
    is_right(repository, files)


def test_a_hole_that_no_value_stands_for_is_refused(tmp_path: Path) -> None:
    files = [one(tmp_path, run, lead, False) for run in RUNS for lead in LEADS]
    for file in files:
        with xr.open_dataset(file) as dataset:
            whole = dataset.load().astype({"t2m": "i2"})
        whole.to_netcdf(file)
    with pytest.raises(Refused, match="it has no lead_time of 12, and t2m cannot be missing there"):
        build([str(file) for file in files[:-1]], str(tmp_path / "repo"), Access(), **ALONG)


def test_a_place_that_is_taken_twice_is_refused(tmp_path: Path) -> None:
    files = [one(tmp_path, run, lead, True) for run in RUNS for lead in LEADS]
    twin = tmp_path / "twin.nc"
    twin.write_bytes(files[0].read_bytes())
    with pytest.raises(
        Refused, match=r"has the same init_time and lead_time as .*01_000\.nc\. Leave"
    ):
        build([str(file) for file in (*files, twin)], str(tmp_path / "repo"), Access(), **ALONG)


def test_verify_finds_the_place_of_a_wrong_value(tmp_path: Path) -> None:
    files = [one(tmp_path, run, lead, True) for run in RUNS for lead in LEADS]
    repository = str(tmp_path / "repo")
    build([str(file) for file in files], repository, Access(), **ALONG)
    one(tmp_path, RUNS[1], 6, True).rename(files[0])  # another file's content under its name
    report = verify_repository(repository, Access(), sample=None)
    assert {str(failure).split(": ")[0] for failure in report.failures} == {
        f"file://{file}" for file in (files[0], files[4])
    }


def test_refresh_refuses_what_it_cannot_put_in_its_place(tmp_path: Path) -> None:
    files = [one(tmp_path, run, lead, True) for run in RUNS for lead in LEADS]
    repository = str(tmp_path / "repo")
    build([str(file) for file in files], repository, Access(), **ALONG)
    with xr.load_dataset(files[2]) as dataset:
        (dataset * 2).to_netcdf(files[2])
    with pytest.raises(Refused, match="Nothing was committed"):
        refresh(repository, Access())
