"""Coordinates that are the first file's but for their type, or for rounding."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access


def write(folder: Path, number: int, **changes: object) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return str(Recipe(start=2 * number, **changes).write(folder / f"f{number}.nc"))


def passes(repo: str) -> None:
    report = verify_repository(repo, Access(), sample=None)
    assert report.passed, report.failures


@pytest.mark.parametrize("history", ["build", "batches", "append"])
def test_rounded_coordinates_are_the_first_file_s(tmp_path: Path, history: str) -> None:
    files = [write(tmp_path / "data", n, jitter=1e-9 * (n % 2)) for n in range(3)]
    repo, access = str(tmp_path / "repo"), Access()
    with pytest.raises(Refused, match=r"lat: .* --tolerance 1e-08 takes those of the first file"):
        build(files, repo, access)
    if history == "append":
        build(files[:1], repo, access, tolerance=1e-8)
        append(files, repo, access)
    else:
        batch = 1 if history == "batches" else None
        built = build(files, repo, access, tolerance=1e-8, batch=batch)
        assert [note for note in built.notes if "f1.nc: lat is off by 1e-09 of a step" in note]
    passes(repo)
    far = write(tmp_path / "data", 3, jitter=0.01)
    with pytest.raises(Refused, match=r"lat: the value is 0.01, but 0.0"):
        append([*files, far], repo, access)


def test_a_tolerance_hides_nothing_else(tmp_path: Path) -> None:
    files = [write(tmp_path / "data", n, mask=1.0 + 1e-3 * n) for n in range(2)]
    with pytest.raises(Refused, match="mask: the value"):
        build(files, str(tmp_path / "repo"), Access(), tolerance=0.1)


@pytest.mark.parametrize("grows", [False, True])
def test_another_type_of_equal_value_is_no_difference(tmp_path: Path, grows: bool) -> None:
    files = [write(tmp_path / "data", n) for n in range(2)]
    single = []
    for file in files:
        with netCDF4.Dataset(file) as old:
            path = Path(file).with_name(f"s{Path(file).name}")
            with netCDF4.Dataset(path, "w") as new:
                for name, size in (("time", 2), ("lat", 4)):
                    new.createDimension(name, size)
                time = new.createVariable("time", "f8", ("time",))
                time.units, time.calendar = old["time"].units, old["time"].calendar
                time[:] = old["time"][:] + 10
                kind = "f4" if file == files[1] else "f8"
                new.createVariable("lat", kind, ("lat",))[:] = np.arange(4)
                options = {"zlib": True, "chunksizes": (1, 4)}
                new.createVariable("w", "f4", ("time", "lat"), **options)[:] = old["v"][:]
            single.append(str(path))
    repo = str(tmp_path / "repo")
    build(single[:1] if grows else single, repo, Access(), concat_dim="time")
    if grows:
        append(single, repo, Access())
    passes(repo)
