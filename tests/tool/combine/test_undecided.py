"""Files that nothing tells how they continue: inspect shows what fits, and its command builds."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
import virtual_zarr
import vzarr
import xarray as xr
from astropy.io import fits
from vzarr.combine.undecided import format_of_names
from vzarr.commands.inspect import Inspected, inspect_files
from vzarr.sources.schemes import Access


def swath(path: Path, rows: int, first: float, cells: int = 3) -> None:
    """A granule without a record dimension: latitude and longitude of each cell, no time axis."""
    shape = (rows, cells)
    values = first + np.arange(rows * cells, dtype="f4").reshape(shape)
    dims = ("row", "cell")
    ds = xr.Dataset({"lat": (dims, values), "lon": (dims, values / 2), "wind": (dims, values * 3)})
    encoding = {name: {"chunksizes": shape} for name in ds.data_vars}
    ds.to_netcdf(path, engine="h5netcdf", encoding=encoding)


def image(path: Path, value: float) -> None:
    fits.PrimaryHDU(np.full((4, 5), value, "f4")).writeto(path)


def built_as_told(inspected: Inspected) -> xr.Dataset:
    """What the command builds that inspect prints."""
    (file_set,) = inspected.sets
    words = shlex.split(file_set.build)
    words = words[words.index("build") :]
    words[words.index("NAME.icechunk")] = "told.icechunk"
    assert virtual_zarr.main(words) == 0
    assert vzarr.verify("told.icechunk", sample=None).passed
    return vzarr.open_dataset("told.icechunk")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("rows", [(4, 4), (4, 3)], ids=["same length", "other lengths"])
def test_granules_are_laid_end_to_end(folder: Path, rows: tuple[int, int]) -> None:
    swath(folder / "a.nc", rows[0], 0)
    swath(folder / "b.nc", rows[1], 100)
    inspected = inspect_files(["*.nc"], Access())
    assert "--concat-dim row" in inspected.sets[0].build
    assert any("end to end along row" in note for note in inspected.sets[0].notes)
    ds = built_as_told(inspected)
    with xr.open_dataset("a.nc") as first, xr.open_dataset("b.nc") as second:
        expected = np.concatenate([first.wind.values, second.wind.values])
    np.testing.assert_array_equal(ds.wind.values, expected)


def test_images_lie_at_the_times_in_their_names(folder: Path) -> None:
    image(folder / "scene_2020.fits", 2)
    image(folder / "scene_2019.fits", 1)
    inspected = inspect_files(["*.fits"], Access())
    assert "--coord time=%Y" in inspected.sets[0].build
    ds = built_as_told(inspected)
    assert ds.time.dt.year.values.tolist() == [2019, 2020]
    assert ds.PRIMARY.isel(time=1).values.max() == 2


def test_axis_that_all_files_share_is_no_record_dimension(folder: Path) -> None:
    """The same latitudes in both: a second file does not continue them."""
    for number in range(2):
        values = np.full((3, 4), number, "f4")
        ds = xr.Dataset({"t": (("lat", "lon"), values)}, {"lat": [1.0, 2.0, 3.0]})
        ds.to_netcdf(folder / f"t_{number}.nc", engine="h5netcdf")
    inspected = inspect_files(["*.nc"], Access())
    assert inspected.sets[0].along is None
    assert any("name it with --concat-dim" in note for note in inspected.sets[0].notes)


def test_build_says_what_to_do(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image(folder / "scene_2020.fits", 2)
    image(folder / "scene_2019.fits", 1)
    assert virtual_zarr.main(["build", "scene_2019.fits", "scene_2020.fits", "--repo", "r"]) == 2
    assert "--coord time=%Y, which takes times from the names" in capsys.readouterr().err
    assert not Path("r").exists()
    words = ["build", "scene_2019.fits", "scene_2020.fits", "--repo", "r", "--coord", "time=%Y"]
    assert virtual_zarr.main(words) == 0


@pytest.mark.parametrize(
    ("names", "form"),
    [
        (["a_20240101.nc", "a_20240102.nc"], "%Y%m%d"),
        (["a_2024001.nc", "a_2024002.nc"], "%Y%j"),
        (["a_20240101T060000.nc", "a_20240101T120000.nc"], "%Y%m%dT%H%M%S"),
        (["v2_2019.nc", "v2_2020.nc"], "%Y"),
        (["2024/a.nc", "2025/a.nc"], None),  # not in the names of the files
        (["a_2024_v1.nc", "a_2024_v2.nc"], None),  # the same time twice
        (["a_2023_2024.nc", "a_2024_2025.nc"], None),  # which of the two
        (["tile_0001.nc", "tile_0002.nc"], None),  # a number, no year
    ],
)
def test_format_of_names(names: list[str], form: str | None) -> None:
    assert format_of_names([f"file:///data/{name}" for name in names]) == form
