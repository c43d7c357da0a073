"""``refresh``: sources that changed or moved get into one commit, or a sentence says why not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import obstore
import pytest
import virtual_zarr
import xarray as xr
import zarr
from making import Recipe
from obstore.store import S3Store
from vzarr.changes.build import build
from vzarr.commands.refresh import refresh
from vzarr.commands.relocate import repoint
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.open import open_any_repository, open_repository
from vzarr.sources.discover import look_up
from vzarr.sources.schemes import Access
from vzarr.verification.open import open_store
from worlds.s3 import STORES_BUCKET


@dataclass
class Archive:
    folder: Path
    repository: str
    files: list[Path]

    def snapshots(self) -> list[str]:
        repo = open_any_repository(self.repository, Access())
        return [snapshot.id for snapshot in repo.ancestry(branch="main")]

    def dataset(self) -> xr.Dataset:
        repo = open_any_repository(self.repository, Access())
        return open_store(repo.readonly_session("main").store)

    def passes(self) -> None:
        assert verify_repository(self.repository, Access(), sample=None).failures == []


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return make_archive(tmp_path)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """For tests that commit nothing and rewrite the first file only."""
    return make_archive(tmp_path_factory.mktemp("steady"))


def make_archive(tmp_path: Path) -> Archive:
    (folder := tmp_path / "old").mkdir()
    files = [Recipe(start=2 * n).write(folder / f"f{n}.nc") for n in range(3)]
    repository = str(tmp_path / "repo")
    build([str(file) for file in files], repository, Access())
    return Archive(folder, repository, files)


def edit(path: Path, change: Callable[[netCDF4.Dataset], None]) -> None:
    with netCDF4.Dataset(path, "a") as file:
        change(file)


def add_one(path: Path) -> None:
    edit(path, lambda file: file["v"].__setitem__(slice(None), file["v"][:] + 1))


def test_nothing_changed(archive: Archive) -> None:
    before = archive.snapshots()
    assert refresh(archive.repository, Access()).changed == {}
    assert archive.snapshots() == before


def test_a_changed_file_gets_into_one_commit(archive: Archive) -> None:
    before = archive.snapshots()
    add_one(archive.files[1])
    looked = refresh(archive.repository, Access(), dry_run=True)
    assert list(looked.changed) == [f"file://{archive.files[1]}"]
    assert archive.snapshots() == before
    found = refresh(archive.repository, Access())
    assert archive.snapshots() == [found.snapshot, *before]
    expected = Recipe(steps=6).values
    expected[2:4] += 1
    assert np.array_equal(archive.dataset()["v"], expected)
    archive.passes()
    metadata = open_repository(archive.repository, Access())[2].metadata
    now = look_up(f"file://{archive.files[1]}", Access()).as_record()
    assert metadata["sources"][1].items() >= now.items()
    assert refresh(archive.repository, Access()).changed == {}


def test_time_and_epoch_of_a_changed_file(archive: Archive) -> None:
    """Loaded coordinates are written anew, whatever epoch the file counts from."""

    def half_a_day_later(file: netCDF4.Dataset) -> None:
        file["time"].units = "hours since 2000-01-01"
        file["time"][:] = [24 * 4 + 12, 24 * 5 + 12]

    edit(archive.files[2], half_a_day_later)
    refresh(archive.repository, Access())
    assert archive.dataset()["time"].dt.hour.values.tolist() == [0, 0, 0, 0, 12, 12]
    archive.passes()


def test_all_changed_with_their_static_variables(archive: Archive) -> None:
    for number, file in enumerate(archive.files):
        Recipe(start=2 * number, mask=3.0).write(file)
    refresh(archive.repository, Access())
    assert (archive.dataset()["mask"] == 3).all()
    archive.passes()


def test_fewer_chunks_than_before(archive: Archive) -> None:
    """Chunks that the new file does not have are no longer referenced."""
    with netCDF4.Dataset(archive.files[0], "w") as file:
        file.createDimension("time", 2)
        file.createDimension("lat", 4)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "days since 2000-01-01", "calendar": "standard"})
        time[:] = [0, 1]
        file.createVariable("lat", "f8", ("lat",))[:] = np.arange(4.0)
        options = {"zlib": True, "chunksizes": (1, 4), "fill_value": -99}
        v = file.createVariable("v", "i2", ("time", "lat"), **options)
        v.setncatts({"units": "K", "scale_factor": 0.5, "add_offset": 10.0})
        v[1] = 30.0
        file.createVariable("mask", "f4", ("lat",))[:] = 1.0
        file.createVariable("crs", "i4", ())[...] = 7
    refresh(archive.repository, Access())
    values = archive.dataset()["v"].values
    assert np.isnan(values[0]).all()
    assert (values[1] == 30).all()
    archive.passes()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"scale": 0.25}, "f0.nc: v: scale_factor is 0.25, but 0.5 in"),
        ({"fill": -1}, "f0.nc: v: _FillValue is -1, but -99 in"),
        ({"units": "degC"}, "f0.nc: v: units is degC, but K in"),
        ({"steps": 3}, "f0.nc: time: the length of time is 3, but 2 in"),
        ({"chunk": 2}, "f0.nc: v: the chunk shape is (2, 4), but (1, 4) in"),
        ({"shuffle": False}, "f0.nc: v: the list of codecs is"),
        ({"dtype": "i4"}, "f0.nc: v: the dtype is int32, but int16 in"),
        ({"jitter": 1e-9}, "f0.nc: lat[0] reads 0.0, in the file 1e-09"),
        ({"mask": 2.0}, "f1.nc: mask[0] reads 2.0, in the file 1.0"),
        ({"start": 1}, "f1.nc: time[2] is 2000-01-03 00:00:00, not later than 2000-01-03"),
        ({"start": 9}, "f1.nc: time[2] is 2000-01-03 00:00:00, not later than 2000-01-11"),
    ],
)
def test_what_does_not_fit_is_refused(steady: Archive, change: dict, sentence: str) -> None:
    before = steady.snapshots()
    Recipe(**change).write(steady.files[0])
    with pytest.raises(Refused) as caught:
        refresh(steady.repository, Access())
    assert sentence in str(caught.value)
    assert "Nothing was committed" in str(caught.value)
    assert steady.snapshots() == before


def test_unreadable_now(archive: Archive) -> None:
    archive.files[2].write_bytes(b"")
    with pytest.raises(InputError, match=r"f2.nc: .*empty.* Nothing was committed"):
        refresh(archive.repository, Access())


def test_vanished(archive: Archive) -> None:
    archive.files[0].unlink()
    archive.files[1].unlink()
    found = refresh(archive.repository, Access(), dry_run=True)
    assert len(found.vanished) == 2
    with pytest.raises(Refused) as caught:
        refresh(archive.repository, Access())
    assert str(caught.value).startswith(f"file://{archive.files[0]}: is gone")
    assert "--from and --to" in str(caught.value)
    assert "(1 more files are gone.)" in str(caught.value)


def test_same_size_and_time_with_other_content(archive: Archive) -> None:
    """Only a comparison of values finds it: its packed numbers mean something else."""
    path = archive.files[1]
    before = path.stat()
    edit(path, lambda file: file["time"].__setitem__(slice(None), [2.25, 3.25]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    assert refresh(archive.repository, Access()).changed == {}
    found = refresh(archive.repository, Access(), content=True)
    assert "time[0] reads 2000-01-03" in found.changed[f"file://{path}"]
    assert archive.dataset()["time"].dt.hour.values.tolist() == [0, 0, 6, 6, 0, 0]
    archive.passes()


def test_a_single_file_and_groups(tmp_path: Path) -> None:
    path, repository = tmp_path / "one.nc", str(tmp_path / "repo")

    def write(value: float) -> None:
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("x", 3)
            file.createVariable("x", "f4", "x")[:] = [value, value + 1, value + 2]
            file.createGroup("obs").createVariable("v", "f4", "x")[:] = value

    write(1)
    build([str(path)], repository, Access())
    write(5)
    refresh(repository, Access())
    assert verify_repository(repository, Access(), sample=None).failures == []
    repo = open_any_repository(repository, Access())
    store = repo.readonly_session("main").store
    assert open_store(store)["x"].values.tolist() == [5, 6, 7]
    assert open_store(store, "obs")["v"].values.tolist() == [5, 5, 5]


def test_what_is_stored_natively_is_refreshed(tmp_path: Path) -> None:
    def write(path: Path, day: int, value: int) -> Path:
        with h5py.File(path, "w") as file:
            file["time"] = [float(day)]
            file["time"].attrs["units"] = "days since 2000-01-01"
            file["time"].make_scale("time")
            file.create_dataset("v", data=np.int32([value]), chunks=(1,), compression="lzf")
            file["v"].dims[0].attach_scale(file["time"])
        return path

    files = [write(tmp_path / f"f{n}.h5", n, n) for n in range(2)]
    built = build([str(file) for file in files], str(tmp_path / "repo"), Access())
    assert "v" in built.native
    write(files[1], 1, 9)
    refresh(str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []


def test_another_commit_in_the_meantime(archive: Archive, monkeypatch) -> None:
    """Whoever commits second starts anew; nothing is lost."""
    add_one(archive.files[1])

    def progress(phase: str) -> Callable[[int, int], None]:
        if phase == "compared":
            session = open_any_repository(archive.repository, Access()).writable_session("main")
            zarr.open_group(session.store, mode="a").attrs["note"] = "of somebody else"
            session.commit("in the meantime")
        return lambda done, total: None

    with pytest.raises(Refused, match="Another commit was made to main"):
        refresh(archive.repository, Access(), progress=progress)
    refresh(archive.repository, Access())
    assert archive.dataset().attrs["note"] == "of somebody else"
    archive.passes()


@pytest.fixture
def moved(archive: Archive) -> Archive:
    """The archive is elsewhere now; the repository has attributes and data of its own."""
    session = open_any_repository(archive.repository, Access()).writable_session("main")
    group = zarr.open_group(session.store, mode="a")
    group.attrs["history"] = "kept"
    group["v"].attrs["comment"] = "kept, too"
    session.commit("attributes")
    archive.folder.rename(archive.folder.parent / "new")
    return archive


def test_a_moved_archive(moved: Archive) -> None:
    before, new = moved.snapshots(), moved.folder.parent / "new"
    found = repoint(moved.repository, Access(), str(moved.folder), str(new))
    assert moved.snapshots() == [found.snapshot, *before]
    dataset = moved.dataset()
    assert np.array_equal(dataset["v"], Recipe(steps=6).values)
    assert dataset.attrs["history"] == "kept"
    assert dataset["v"].attrs["comment"] == "kept, too"
    moved.passes()
    repo = open_any_repository(moved.repository, Access())
    places = repo.readonly_session("main").all_virtual_chunk_locations()
    assert {place.rpartition("/")[0] for place in places} == {f"file://{new}"}
    containers = icechunk.Repository.fetch_config(repo.storage).virtual_chunk_containers
    assert set(containers) == {f"file://{moved.folder}/", f"file://{new}/"}
    metadata = open_repository(moved.repository, Access())[2].metadata
    assert {record["url"].rpartition("/")[0] for record in metadata["sources"]} == {f"file://{new}"}
    assert metadata["replaced"] == []


def test_a_moved_file_that_changes_later_is_noticed(moved: Archive) -> None:
    """References carry the time of the new files."""
    new = moved.folder.parent / "new"
    repoint(moved.repository, Access(), str(moved.folder), str(new))
    os.utime(new / "f1.nc", (4e9, 4e9))
    with pytest.raises(icechunk.StorageError, match="has changed"):
        moved.dataset()["v"][2:4].load()


def test_older_files_at_the_new_place(moved: Archive) -> None:
    """A copy that keeps times, or not: both are read."""
    new = moved.folder.parent / "new"
    os.utime(new / "f0.nc", (1e9, 1e9))
    os.utime(new / "f1.nc")
    repoint(moved.repository, Access(), str(moved.folder), str(new))
    moved.passes()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda path: path.unlink(), "f1.nc: is not there (FileNotFoundError)"),
        (lambda path: path.write_bytes(b"short"), "f1.nc: has 5 bytes, the file at the old place"),
    ],
)
def test_another_content_at_the_new_place(moved: Archive, spoil: Callable, sentence: str) -> None:
    new = moved.folder.parent / "new"
    before = moved.snapshots()
    spoil(new / "f1.nc")
    with pytest.raises(Refused) as caught:
        repoint(moved.repository, Access(), str(moved.folder), str(new))
    assert sentence in str(caught.value)
    assert "Nothing was committed" in str(caught.value)
    assert moved.snapshots() == before
    repo = open_any_repository(moved.repository, Access())
    containers = icechunk.Repository.fetch_config(repo.storage).virtual_chunk_containers
    assert set(containers) == {f"file://{moved.folder}/"}


def test_other_values_at_the_new_place(archive: Archive) -> None:
    """Of the same size; found while the old files are still there."""
    new = archive.folder.parent / "new"
    shutil.copytree(archive.folder, new)
    add_one(new / "f1.nc")
    assert (new / "f1.nc").stat().st_size == archive.files[1].stat().st_size
    with pytest.raises(Refused, match=r"new/f1.nc: holds other bytes than the file at the old pl"):
        repoint(archive.repository, Access(), str(archive.folder), str(new))


def test_nothing_begins_with_it(archive: Archive) -> None:
    with pytest.raises(
        InputError, match=r"/ol/: no reference begins with it; they lead to .*/old/"
    ):
        repoint(archive.repository, Access(), str(archive.folder)[:-1], "/anywhere")


def test_command_line(archive: Archive, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["refresh", "--repo", archive.repository, "--quiet"]
    assert virtual_zarr.main([*common, "--from", "x"]) == 2
    assert "--from and --to belong together" in capsys.readouterr().err
    add_one(archive.files[0])
    assert virtual_zarr.main([*common, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "1 of 3 sources changed, 0 missing; nothing was committed" in printed
    assert virtual_zarr.main([*common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshot"] == archive.snapshots()[0]
    shutil.move(archive.folder, archive.folder.parent / "new")
    assert virtual_zarr.main(common) == 2
    assert "f0.nc: is gone" in capsys.readouterr().err
    places = ["--from", str(archive.folder), "--to", str(archive.folder.parent / "new")]
    assert virtual_zarr.main([*common, *places]) == 0
    archive.passes()


def test_s3(
    enter_world: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, clean_environment: Path
) -> None:
    """Objects that are replaced, and an archive that moves from disk to a bucket and on."""
    (clean_environment / "old").mkdir()
    files = [Recipe(start=2 * n).write(clean_environment / "old" / f"f{n}.nc") for n in range(2)]
    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    bucket = S3Store(STORES_BUCKET, region="us-west-2")
    here, there = f"s3://{STORES_BUCKET}/here", f"s3://{STORES_BUCKET}/there"
    repository = f"s3://{STORES_BUCKET}/repo"
    archive = Archive(clean_environment, repository, files)
    build([str(file) for file in files], repository, Access())

    for file in files:
        obstore.put(bucket, f"here/{file.name}", file.read_bytes())
    repoint(repository, Access(), str(files[0].parent), here)
    shutil.rmtree(files[0].parent)
    archive.passes()

    Recipe(mask=1.0, epoch="2000-01-02").write(clean_environment / "f0.nc")
    obstore.put(bucket, "here/f0.nc", clean_environment / "f0.nc")
    found = refresh(repository, Access())
    assert list(found.changed) == [f"{here}/f0.nc"]
    archive.passes()

    for name in ("f0.nc", "f1.nc"):
        obstore.rename(bucket, f"here/{name}", f"there/{name}")
    with pytest.raises(Refused, match=r"f0.nc: is gone"):
        refresh(repository, Access())
    repoint(repository, Access(), here, there)
    archive.passes()
    assert np.array_equal(archive.dataset()["v"], Recipe(steps=4).values)


def test_content_shows_attributes_that_changed_in_a_group(tmp_path: Path) -> None:
    """In a file that keeps its size and its time of change."""
    file = tmp_path / "a.nc"
    with netCDF4.Dataset(file, "w") as root:
        group = root.createGroup("deep")
        group.createDimension("time", None)
        group.createVariable("time", "f8", ("time",))[:] = [0.0, 1.0]
        group["time"].units = "days since 2024-01-01"
        group.createVariable("v", "f4", ("time",))[:] = [1.0, 2.0]
        group["v"].comment = "raw"
    build([str(file)], str(tmp_path / "repo"), Access())
    state = file.stat()
    with h5py.File(file, "r+") as opened:
        opened["deep/v"].attrs.modify("comment", np.bytes_("new"))
    os.truncate(file, state.st_size)
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    found = refresh(str(tmp_path / "repo"), Access(), content=True, dry_run=True)
    assert found.changed[file.as_uri()].startswith("/deep: v has the attribute comment 'raw' in")
