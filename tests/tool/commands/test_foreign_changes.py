"""What others did to a repository with Icechunk itself is seen, said, and taken over if right."""

from __future__ import annotations

from pathlib import Path

import icechunk
import numpy as np
import pytest
import vzarr
import zarr
from making import Recipe

ARRAYS = {"mask_of_mine": ("lat",), "quality": ("time", "lat")}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_others_is_left_alone(tmp_path: Path, name: str) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(3)]
    repo = tmp_path / "repo"
    vzarr.build(files[:2], repo)
    sizes = {"time": 4, "lat": 4}
    dims = ARRAYS[name]
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    with theirs.transaction("main", message="mine") as store:
        shape = tuple(sizes[dim] for dim in dims)
        root = zarr.open_group(store, mode="r+")
        root.create_array(
            name, shape=shape, chunks=shape, dtype="f4", fill_value=-1, dimension_names=dims
        )[:] = 5
    report = vzarr.verify(repo, sample=None)
    assert report.passed, report.failures
    assert f"{name}: put there by others, and left alone" in report.notes
    done = vzarr.append(files, repo)
    assert len(done.appended) == 1
    Recipe(start=0, shift=1.0).write(files[0])
    assert len(vzarr.refresh(repo).changed) == 1
    report = vzarr.verify(repo, sample=None)
    assert report.passed, report.failures
    stored = np.asarray(vzarr.open_dataset(repo)[name].values)
    assert (stored[:4] == 5).all()
    if dims[0] == "time":
        assert stored.shape == (6, 4)
        assert (stored[4:] == -1).all()


def test_a_resize_is_seen_and_taken_back(tmp_path: Path) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(3)]
    repo = tmp_path / "repo"
    built = vzarr.build(files[:2], repo)
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    with theirs.transaction("main", message="resized") as store:
        zarr.open_array(store, path="v", mode="r+").resize((6, 4))
    assert not vzarr.verify(repo).passed
    for change in (
        lambda: vzarr.append(files, repo),
        lambda: vzarr.append(files, repo, insert=True),
    ):
        with pytest.raises(vzarr.Refused, match=r"resize by others .*rollback"):
            change()
    vzarr.rollback(repo, built.snapshot)
    assert len(vzarr.append(files, repo).appended) == 1
    assert vzarr.verify(repo, sample=None).passed


def test_rewritten_manifests_and_a_write_of_the_same_values(tmp_path: Path) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(3)]
    repo = tmp_path / "repo"
    vzarr.build(files[:2], repo)
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    theirs.rewrite_manifests("rewritten", branch="main")
    with theirs.transaction("main", message="the same") as store:
        array = zarr.open_array(store, path="lat", mode="r+")
        array[:] = array[:]
    done = vzarr.append(files, repo)
    assert (len(done.appended), any("2 commits" in note for note in done.notes)) == (1, True)
    assert vzarr.verify(repo, sample=None).passed
