"""The append of ``skill.md``: coordinates stay, and a second writer in between is noticed."""

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

SKILL = Path(__file__).parents[2] / "skill.md"


def blocks_until(marker: str) -> list[str]:
    """Sources of the recipe's blocks, up to and with the first that holds ``marker``."""
    for chain in read_chains(SKILL):
        sources = [block.example.source for block in chain.blocks]
        for number, source in enumerate(sources):
            if marker in source:
                return sources[: number + 1]
    raise LookupError(marker)


@pytest.fixture
def write_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """The recipe's files, in the working directory, with what a test changes in each."""

    def write(change: Callable[[netCDF4.Dataset, int], None] = lambda file, day: None) -> None:
        for day in range(1, samples.ERA5_DAYS + 1):
            path = samples.write_era5_day(tmp_path / "data/era5", day, samples.ERA5_PACKING)
            with netCDF4.Dataset(path, "a") as file:
                change(file, day)
            os.utime(path, (1.7e9, 1.7e9))
        monkeypatch.chdir(tmp_path)

    return write


def run(sources: list[str], names: dict[str, Any]) -> None:
    for source in sources:
        exec(compile(source, str(SKILL), "exec"), names)


def stored(names: dict[str, Any]) -> xr.Dataset:
    return xr.open_zarr(names["repo"].readonly_session("main").store, consolidated=False)


def test_coordinates_of_the_group_stay(write_days: Callable[..., None]) -> None:
    """Those that the file's own ``coordinates`` names, as xarray writes where no variable does."""

    def name_coordinates(file: netCDF4.Dataset, day: int) -> None:
        file.coordinates = "lsm crs"
        file.history = f"day {day}"

    write_days(name_coordinates)
    names: dict[str, Any] = {}
    *before, append = blocks_until("def open_for_append")
    run(before, names)
    kept = stored(names)
    assert {"lsm", "crs"} < set(kept.coords)
    run([append], names)
    ds = stored(names)
    assert ds.sizes["time"] == 20
    assert set(ds.coords) == set(kept.coords)
    assert ds.attrs == kept.attrs


def test_second_writer_between_check_and_commit_is_noticed(
    write_days: Callable[..., None],
) -> None:
    """The same day by another job: neither twice in the archive, nor half of either."""
    write_days()
    names: dict[str, Any] = {}
    *before, append = blocks_until("def open_for_append")
    run(before, names)
    opened = names["open_virtual_dataset"]

    def open_after_another(*args: Any, **options: Any) -> xr.Dataset:
        names["open_virtual_dataset"] = opened
        other = opened(*args, **options).drop_vars(["latitude", "longitude", "lsm", "crs"])
        with names["repo"].transaction("main", message="by another job") as store:
            other.vz.to_icechunk(store, append_dim="time")
        return opened(*args, **options)

    names["open_virtual_dataset"] = open_after_another
    with pytest.raises(icechunk.ConflictError):
        run([append], names)
    assert stored(names).sizes["time"] == 20
    assert [entry.message for entry in names["repo"].ancestry(branch="main")] == [
        "by another job",
        "2024-01-01 to 04",
        "Repository initialized",
    ]


def overlap(file: netCDF4.Dataset, day: int) -> None:
    if day == samples.ERA5_DAYS:
        file["time"][:] = [0, 12, 6, 18]


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
        (overlap, "times overlap or go back"),
        (move_mask, r"\['lsm'\] differ from the archive"),
        (other_epoch_of_a_second_time, "calendar differs between files"),
    ],
)
def test_what_append_would_corrupt_is_refused(
    write_days: Callable[..., None],
    change: Callable[[netCDF4.Dataset, int], None],
    message: str,
) -> None:
    write_days(change)
    names: dict[str, Any] = {}
    *before, append = blocks_until("def open_for_append")
    run(before, names)
    with pytest.raises(ValueError, match=message):
        run([append], names)
    assert stored(names).sizes["time"] == 16
