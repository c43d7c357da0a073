"""``verify`` finds what was made wrong behind the tool's back."""

from __future__ import annotations

import os
from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.sources.schemes import Access
from vzarr.verification.open import spread
from vzarr.virtualize.equality import mismatch


@pytest.fixture
def built(tmp_path: Path) -> tuple[Path, list[Path]]:
    """A repository of two files, and the files."""
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(2)]
    build([str(file) for file in files], str(tmp_path / "repo"), Access())
    return tmp_path / "repo", files


def failures(repository: Path) -> str:
    report = verify_repository(str(repository), Access(), sample=None)
    assert not report.passed
    return "\n".join(map(str, report.failures))


def rewrite(repository: Path, change) -> None:
    """Commit a change, with the metadata of the build, as a careless tool might."""
    prefix = f"file://{repository.parent}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    metadata = next(repo.ancestry(branch="main")).metadata
    session = repo.writable_session("main")
    change(session.store)
    session.commit("behind the tool's back", metadata=metadata)


def test_sound_repository_passes(built) -> None:
    report = verify_repository(str(built[0]), Access(), sample=None)
    assert report.passed
    assert report.compared == 2
    assert report.virtual == ["crs", "mask", "v"]


def test_wrong_packing(built) -> None:
    def change(store) -> None:
        zarr.open_array(store, path="v").attrs["scale_factor"] = 0.25

    rewrite(built[0], change)
    message = failures(built[0])
    assert "v[0, 0] reads 15.0, in the file 20.0" in message
    assert "f0.nc" in message


def test_wrong_time(built) -> None:
    def change(store) -> None:
        zarr.open_array(store, path="time").attrs["units"] = "seconds since 1971-01-01"

    rewrite(built[0], change)
    assert "time[0] reads" in failures(built[0])


def test_wrong_units(built) -> None:
    def change(store) -> None:
        zarr.open_array(store, path="v").attrs["units"] = "degC"

    rewrite(built[0], change)
    assert "v has units 'degC', in the file 'K'" in failures(built[0])


def test_native_chunks(built) -> None:
    def change(store) -> None:
        array = zarr.open_array(store, path="v")
        array[:] = array[:]

    rewrite(built[0], change)
    assert failures(built[0]) == "v is no longer virtual: it has chunks of its own (4 found)"


def test_lost_and_invented_variables(built) -> None:
    def change(store) -> None:
        group = zarr.open_group(store, mode="a")
        del group["mask"]
        group.create_array("other", data=np.arange(2), dimension_names=["z"])

    rewrite(built[0], change)
    message = failures(built[0])
    assert "mask is in the file, but not in the store" in message
    assert "other is in the store, but not in the file" in message


def test_changed_source(built) -> None:
    repository, files = built
    os.utime(files[1], (4e8, 4e8))
    assert "f1.nc: changed at 1982" in failures(repository)


def test_missing_source(built) -> None:
    repository, files = built
    files[0].unlink()
    message = failures(repository)
    assert "f0.nc: is gone" in message


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(3, None, [0, 1, 2]), (3, 5, [0, 1, 2]), (10, 2, [0, 9]), (9, 3, [0, 4, 8]), (5, 1, [0])],
)
def test_spread(total: int, count: int | None, expected: list[int]) -> None:
    assert spread(total, count) == expected


def test_an_outlier_does_not_hide_other_differences() -> None:
    """Packed values may differ by rounding: their own and the offset's, not the largest one's."""
    truth = np.array([1.0, -2147483.647])
    assert mismatch(truth + np.array([1.0, 0.0]), truth, 0.0).tolist() == [True, False]
    assert not mismatch(np.array([1e-6]), np.array([0.0]), 273.15).any()
