"""What others did to a repository with Icechunk itself is seen, said, and taken over if right."""

from __future__ import annotations

import os
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import vzarr
import xarray as xr
import zarr
from making import Recipe
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

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


@pytest.mark.parametrize("state", ["withdrawn", "written again"])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_source_that_changed_stops_no_change_after_a_commit_of_others(
    tmp_path: Path, state: str, number: int
) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in (0, 1, 3, 5)]
    repo = tmp_path / "repo"
    vzarr.build(files[:3], repo)
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    theirs.rewrite_manifests("rewritten", branch="main")
    if state == "withdrawn":
        files[number].unlink()
    else:
        Recipe(start=(0, 2, 6)[number], shift=1.0).write(files[number])
        os.utime(files[number], (2e9, 2e9))
    done = vzarr.append(files[3], repo)
    assert (len(done.appended), done.left_out) == (1, [])
    late = Recipe(start=4).write(tmp_path / "late.nc")
    theirs.rewrite_manifests("rewritten", branch="main")
    assert len(vzarr.append(late, repo).inserted) == 1
    theirs.rewrite_manifests("rewritten", branch="main")
    other = Recipe(start=0).write(tmp_path / "other.nc")
    with netCDF4.Dataset(other, "a") as file:
        file.renameVariable("v", "w")
    assert vzarr.add(other, repo).variables == ["w"]
    theirs.rewrite_manifests("rewritten", branch="main")
    assert len(vzarr.remove(repo, files[3]).files) == 1
    report = vzarr.verify(repo, sample=None)
    assert not report.passed
    assert all(str(files[number]) in str(failure) for failure in report.failures)


def take_out_by_icechunk(repo: Path, first: int, count: int) -> None:
    """Rows of ``v`` and ``time`` out, as a user would: chunks moved, arrays made shorter."""
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    with theirs.transaction("main", message="a window that moves") as store:
        root = zarr.open_group(store, mode="r+")
        rows = root["v"].shape[0]
        left = np.delete(np.asarray(root["time"][:]), slice(first, first + count))

        def forward(index: list[int]) -> list[int] | None:
            return [index[0] - count, *index[1:]] if index[0] >= first + count else None

        store.session.reindex_array("/v", forward)
        root["v"].resize((rows - count, 4))
        root["time"].resize(left.shape)
        root["time"][:] = left


@pytest.mark.parametrize("number", [0, 1, 2])
def test_files_that_others_took_out_stay_out(tmp_path: Path, number: int) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(5)]
    repo = tmp_path / "repo"
    vzarr.build(files[:3], repo)
    take_out_by_icechunk(repo, 2 * number, 2)
    report = vzarr.verify(repo, sample=None)
    assert report.passed, report.failures
    assert report.sources == 2
    assert any("others took one of its files out: they stay out" in n for n in report.notes)
    done = vzarr.append(files[:4], repo)
    assert (done.appended, done.inserted) == ([f"file://{files[3]}"], [])
    assert done.removed == [f"file://{files[number]}"]
    rest = [file for n, file in enumerate(files[:4]) if n != number]
    expected = np.concatenate([Recipe(start=2 * n).values for n in range(4) if n != number])
    np.testing.assert_array_equal(vzarr.open_dataset(repo).v.values, expected)
    report = vzarr.verify(repo, sample=None)
    assert (report.passed, report.sources, report.notes) == (True, len(rest), [])
    vzarr.append(files[number], repo)  # named alone
    assert vzarr.verify(repo, sample=None).sources == 4


@pytest.mark.parametrize("change", ["append", "remove", "refresh"])
def test_a_window_that_others_moved_wrong_is_refused(tmp_path: Path, change: str) -> None:
    """Times were moved and values were not."""
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(4)]
    repo = tmp_path / "repo"
    vzarr.build(files[:3], repo)
    theirs = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repo)))
    with theirs.transaction("main", message="half of it") as store:
        root = zarr.open_group(store, mode="r+")
        left = np.asarray(root["time"][2:])
        root["v"].resize((4, 4))
        root["time"].resize((4,))
        root["time"][:] = left
    assert not vzarr.verify(repo, sample=None).passed
    tip = vzarr.log(repo)
    run = {
        "append": lambda: vzarr.append(files, repo),
        "remove": lambda: vzarr.remove(repo, files[1]),
        "refresh": lambda: vzarr.refresh(repo),
    }[change]
    if change == "refresh":
        Recipe(start=4, shift=3.0).write(files[2])
    with pytest.raises(vzarr.Refused, match=r"does not read as its sources do.*rollback"):
        run()
    assert vzarr.log(repo) == tip


@pytest.mark.parametrize("spec_version", [1, 2])
def test_a_repository_of_others_is_taken_over(tmp_path: Path, spec_version: int) -> None:
    files = [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(3)]
    repo = tmp_path / "repo"
    made_by_hand(repo, files[:2], spec_version)
    done = vzarr.append(files, repo)
    assert len(done.appended) == 1
    assert done.notes == ["taken over: it reads as 2 files, to which it leads"]
    report = vzarr.verify(repo, sample=None)
    assert (report.passed, report.sources) == (True, 3)
    assert vzarr.append(files, repo).snapshot is None
    vzarr.remove(repo, files[0])
    assert vzarr.append(files[0], repo).inserted == [f"file://{files[0]}"]
    assert vzarr.verify(repo, sample=None).passed
    other = tmp_path / "other"
    made_by_hand(other, files[:2], spec_version, shift=1)
    with pytest.raises(vzarr.Refused, match=r"does not read as the files do.*--source OLD_FILES"):
        vzarr.append(files, other)


def test_a_repository_of_others_leads_to_places_that_nobody_named(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file = Recipe().write(tmp_path / "elsewhere/f0.nc")
    (tmp_path / "data").mkdir()
    new = Recipe(start=2).write(tmp_path / "data/f1.nc")
    made_by_hand(tmp_path / "stores/repo", [file], 2)
    with pytest.raises(vzarr.InputError, match=r"that nobody named here: file://.*elsewhere/"):
        vzarr.append(new, tmp_path / "stores/repo")


def made_by_hand(repo: Path, files: list[Path], spec_version: int, shift: int = 0) -> None:
    """Written by VirtualiZarr, without the tool; times moved by ``shift``."""
    prefix = f"file://{files[0].parent}/"
    config = icechunk.RepositoryConfig.default()
    container = icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix))
    config.set_virtual_chunk_container(container)
    created = icechunk.Repository.create(
        icechunk.local_filesystem_storage(str(repo)),
        config,
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
        spec_version=spec_version,
    )
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    parts = [
        open_virtual_dataset(f"file://{file}", registry=registry, parser=HDFParser())
        for file in files
    ]
    with created.transaction("main", message="by hand") as store:
        options = {"data_vars": "minimal", "coords": "minimal", "compat": "override"}
        xr.concat(parts, "time", **options).vz.to_icechunk(store)
        if shift:
            axis = zarr.open_array(store, path="time", mode="r+")
            axis[:] = axis[:] + shift
