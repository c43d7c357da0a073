"""The daily job of ``examples.md``: coordinates stay, and a second writer in between is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import netCDF4
import pytest
import xarray as xr
from harness.blocks import read_chains
from worlds import samples

EXAMPLES = Path(__file__).parents[2] / "examples.md"
JOB = "def open_day(file):"


def program() -> str:
    for chain in read_chains(EXAMPLES):
        if JOB in chain.blocks[0].example.source:
            return chain.blocks[0].example.source
    raise LookupError(JOB)


@pytest.fixture
def write_days(tmp_path: Path) -> Callable[..., None]:
    """The recipe's files, in the working directory, with what a test changes in each."""

    def write(change: Callable[[netCDF4.Dataset, int], None] = lambda file, day: None) -> None:
        for day in range(1, samples.ERA5_DAYS + 1):
            path = samples.write_era5_day(tmp_path / "data/era5", day, samples.ERA5_PACKING)
            with netCDF4.Dataset(path, "a") as file:
                change(file, day)
            os.utime(path, (1.7e9, 1.7e9))

    return write


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the program defines, and in ``repo`` an empty repository in the working directory."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(program(), str(EXAMPLES), "exec"), names)
    names["repo"] = names["open_repository"]("era5.icechunk")
    return names


def days() -> list[Path]:
    return sorted(Path("data/era5").absolute().glob("*.nc"))


def ingest(names: dict[str, Any], files: list[Path]) -> list[str]:
    result: list[str] = names["ingest"](names["repo"], files)
    return result


def stored(names: dict[str, Any]) -> xr.Dataset:
    return xr.open_zarr(names["repo"].readonly_session("main").store, consolidated=False)


def test_coordinates_of_the_group_stay(
    write_days: Callable[..., None], names: dict[str, Any]
) -> None:
    """Those that the file's own ``coordinates`` names, as xarray writes where no variable does."""

    def name_coordinates(file: netCDF4.Dataset, day: int) -> None:
        file.coordinates = "lsm crs"
        file.history = f"day {day}"

    write_days(name_coordinates)
    ingest(names, days()[:4])
    earlier = stored(names)
    assert {"lsm", "crs"} < set(earlier.coords)
    ingest(names, days())
    ds = stored(names)
    assert ds.sizes["time"] == 20
    assert set(ds.coords) == set(earlier.coords)
    assert ds.attrs == earlier.attrs


def test_second_writer_between_check_and_commit_is_noticed(
    write_days: Callable[..., None], names: dict[str, Any]
) -> None:
    """The same day by another job: neither twice in the archive, nor half of either."""
    write_days()
    ingest(names, days()[:4])
    opened = names["open_virtual_dataset"]

    def open_after_another(*args: Any, **options: Any) -> xr.Dataset:
        names["open_virtual_dataset"] = opened
        ingest(names, days())
        return opened(*args, **options)

    names["open_virtual_dataset"] = open_after_another
    with pytest.raises(icechunk.ConflictError):
        ingest(names, days())
    assert stored(names).sizes["time"] == 20
    assert [entry.message for entry in names["repo"].ancestry(branch="main")] == [
        "1 files",
        "4 files",
        "Repository initialized",
    ]


def overlap(file: netCDF4.Dataset, day: int) -> None:
    if day == samples.ERA5_DAYS:
        file["time"][:] = [-12, -6, 0, 6]


def move_mask(file: netCDF4.Dataset, day: int) -> None:
    if day == samples.ERA5_DAYS:
        file["lsm"][:] = 1


def other_epoch_of_a_second_time(file: netCDF4.Dataset, day: int) -> None:
    """A second, virtual time: ``calendar`` alone differs, so 1 March is a day off."""
    issued = file.createVariable("issued", "i4", ("time",))
    issued.units = "days since 2024-01-01"
    issued.calendar = "standard" if day < samples.ERA5_DAYS else "noleap"
    issued[:] = 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (overlap, "late, or other times than before"),
        (move_mask, "lsm differs, append would replace it for all"),
        (other_epoch_of_a_second_time, "calendar differs between files"),
    ],
)
def test_what_append_would_corrupt_is_refused(
    write_days: Callable[..., None],
    names: dict[str, Any],
    change: Callable[[netCDF4.Dataset, int], None],
    message: str,
) -> None:
    write_days(change)
    ingest(names, days()[:4])
    with pytest.raises(ValueError, match=message):
        ingest(names, days())
    assert stored(names).sizes["time"] == 16
