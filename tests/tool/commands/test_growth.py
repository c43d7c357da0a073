"""A store that grows for years: nothing falls out of it, nothing comes back, nothing blocks it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access


def day(path: Path, first: int, *, steps: int = 2, shift: float = 0.0, chunk: int = 1) -> str:
    """A file of ``steps`` days with 2-D and scalar coordinates that no variable names.

    xarray then names them in the file's global ``coordinates``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    values = shift + np.arange(first, first + steps)[:, None, None] + np.zeros((steps, 3, 4))
    grid = np.arange(12.0).reshape(3, 4)
    dataset = xr.Dataset(
        {
            "v": (("time", "y", "x"), values.astype("f4"), {"units": "K", "long_name": "a value"}),
            "mask": (("y", "x"), grid > 5),
        },
        {
            "time": np.datetime64("2024-01-01", "ns")
            + np.arange(first, first + steps) * 86400 * 10**9,
            "lat": (("y", "x"), grid),
            "height": 2.0,
            "crs": 0,
        },
        {"title": "an archive"},
    )
    dataset.v.encoding = {"coordinates": None, "chunksizes": (chunk, 3, 4), "zlib": True}
    dataset.mask.encoding["coordinates"] = None
    dataset.time.encoding = {"units": "days since 2000-01-01"}
    dataset.to_netcdf(path, engine="h5netcdf", unlimited_dims=["time"])
    with xr.open_dataset(path, decode_coords=False) as raw:
        assert set(raw.attrs["coordinates"].split()) == {"lat", "height", "crs"}
    older(path)
    return str(path)


def older(path: Path | str, seconds: float = 3600) -> None:
    """Written an hour ago: a file of this very second counts as changed for no reason."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def read(repository: Path) -> xr.Dataset:
    repo = open_any_repository(str(repository), Access())
    return xr.open_zarr(repo.readonly_session("main").store, consolidated=False, chunks=None)


def assert_reads_as(repository: Path, *files: str) -> None:
    """Values, dimensions, coordinates, attributes and order are those of the files."""
    expected = xr.concat(
        [xr.open_dataset(file, engine="h5netcdf") for file in files],
        "time",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        combine_attrs="drop_conflicts",
    )
    xr.testing.assert_identical(read(repository).load(), expected.load())
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.failures == []


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    files = [day(tmp_path / f"data/d{n}.nc", 2 * n) for n in range(2)]
    build(files, str(tmp_path / "repo"), Access())
    return tmp_path / "repo"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def names(data: Path) -> list[str]:
    return sorted(map(str, data.glob("*.nc")))


def snapshots(repository: Path) -> list[str]:
    repo = open_any_repository(str(repository), Access())
    return [snapshot.id for snapshot in repo.ancestry(branch="main")]


def test_coordinates_stay_coordinates(repository: Path, data: Path) -> None:
    for number in (2, 3):
        day(data / f"d{number}.nc", 2 * number)
        append([f"{data}/*.nc"], str(repository), Access())
        assert set(read(repository).coords) == {"time", "lat", "height", "crs"}
    assert_reads_as(repository, *names(data))


def test_coordinates_stay_coordinates_in_batches(tmp_path: Path, data: Path) -> None:
    for number in range(5):
        day(data / f"d{number}.nc", 2 * number)
    build([f"{data}/*.nc"], str(tmp_path / "repo"), Access(), batch=2)
    assert_reads_as(tmp_path / "repo", *names(data))


def test_coordinates_stay_coordinates_when_a_file_changes(repository: Path, data: Path) -> None:
    day(data / "d1.nc", 2, shift=5.0)
    assert refresh(str(repository), Access()).changed
    assert_reads_as(repository, *names(data))


@pytest.mark.parametrize(
    ("what", "change", "sentence"),
    [
        (
            "coordinates",
            lambda group: group.attrs.update(coordinates="lat crs"),
            "height is a coordinate in the files, but no longer in the store",
        ),
        (
            "coordinate",
            lambda group: group.attrs.update(coordinates="lat crs height mask"),
            "mask is a coordinate in the store, but not in the files",
        ),
        (
            "group",
            lambda group: group.attrs.update(title="another"),
            "the group has the attribute title 'another' in the store, in the file 'an archive'",
        ),
        (
            "variable",
            lambda group: group["v"].attrs.update(long_name="?"),
            "v has the attribute long_name '?' in the store, in the file 'a value'",
        ),
        (
            "lost",
            lambda group: group["v"].attrs.put({"units": "K"}),
            "v has the attribute long_name 'a value', the store has lost it",
        ),
    ],
)
def test_verify_compares_what_lies_beside_values(
    repository: Path, what: str, change, sentence: str
) -> None:
    repo = open_any_repository(str(repository), Access())
    with repo.transaction("main", message="by hand") as store:
        change(zarr.open_group(store, mode="r+"))
    report = verify_repository(str(repository), Access(), sample=None)
    assert any(sentence in str(failure) for failure in report.failures), report.failures


def test_verify_opens_what_readers_open(repository: Path, data: Path) -> None:
    """Chunks that others overwrote are compared, also by a sample that would not meet them."""
    for number in range(2, 12):
        day(data / f"d{number}.nc", 2 * number)
    append([f"{data}/*.nc"], str(repository), Access())
    repo = open_any_repository(str(repository), Access())
    with repo.transaction("main", message="zeros") as store:
        zarr.open_array(store, path="v", mode="r+")[7] = 0
    report = verify_repository(str(repository), Access(), sample=1)
    assert "v[1, 0, 0] reads 0.0, in the file 7.0" in str(report.failures[0])
    assert (
        "main has a commit since the last one of this tool, of others: 'zeros'" in report.notes[0]
    )


def test_commits_of_others_that_harm_nothing_pass(repository: Path, data: Path) -> None:
    repo = open_any_repository(str(repository), Access())
    with repo.transaction("main", message="a note") as store:
        zarr.open_group(store, mode="r+").attrs["note"] = "checked"
    report = verify_repository(str(repository), Access())
    assert report.failures == []
    assert len(report.notes) == 1
    day(data / "d2.nc", 4)
    assert append([f"{data}/*.nc"], str(repository), Access()).notes == report.notes
    assert verify_repository(str(repository), Access()).notes == []


def test_a_file_whose_place_was_taken_stays_away(repository: Path, data: Path) -> None:
    """Preliminary and final files lie side by side for ever, and cron names both."""
    final = day(data / "d1_final.nc", 2, shift=0.5)
    older(final, 60)
    for number in range(4):
        done = append([f"{data}/*.nc"], str(repository), Access(), replace_known=True)
        assert done.replaced == ([f"file://{final}"] if number == 0 else [])
    assert done.superseded == {f"file://{data}/d1.nc": f"file://{final}"}
    assert done.snapshot is None
    os.utime(data / "d1.nc")  # delivered again, the same
    done = append([f"{data}/*.nc"], str(repository), Access(), replace_known=True)
    assert done.snapshot is None
    assert_reads_as(repository, str(data / "d0.nc"), final)


def test_of_two_new_files_with_the_same_records_the_later_stays(
    repository: Path, data: Path
) -> None:
    day(data / "d1_b.nc", 2, shift=0.5)
    day(data / "d1_a.nc", 2, shift=0.7)
    older(data / "d1_a.nc", 60)
    done = append([f"{data}/*.nc"], str(repository), Access(), replace_known=True)
    assert done.replaced == [f"file://{data}/d1_a.nc"]
    assert_reads_as(repository, str(data / "d0.nc"), str(data / "d1_a.nc"))


def test_identical_bytes_with_another_time(repository: Path, data: Path) -> None:
    """An archive that was copied anew: readers fail until the checksum is renewed."""
    time.sleep(1.1)
    os.utime(data / "d1.nc")
    with pytest.raises(icechunk.IcechunkError, match="checksum"):
        read(repository).v.load()
    done = append([f"{data}/*.nc"], str(repository), Access())
    assert done.renewed == [f"file://{data}/d1.nc"]
    assert done.replaced == []
    assert_reads_as(repository, *names(data))
    assert append([f"{data}/*.nc"], str(repository), Access()).snapshot is None


@pytest.mark.parametrize(("steps", "chunk"), [(5, 1), (1, 1), (5, 2), (4, 2)])
def test_a_last_file_that_changes_its_length(
    tmp_path: Path, data: Path, steps: int, chunk: int
) -> None:
    files = [day(data / f"d{n}.nc", 2 * n, chunk=chunk) for n in range(2)]
    build(files, str(tmp_path / "repo"), Access())
    day(data / "d1.nc", 2, steps=steps, chunk=chunk)
    with pytest.raises(Refused, match=r"d1.nc: .*--replace"):
        append([f"{data}/*.nc"], str(tmp_path / "repo"), Access())
    done = append([f"{data}/*.nc"], str(tmp_path / "repo"), Access(), replace_known=True)
    assert (done.replaced, done.appended) == ([f"file://{data}/d1.nc"], [])
    assert_reads_as(tmp_path / "repo", *files)


def test_an_only_file_that_grows(tmp_path: Path, data: Path) -> None:
    file = day(data / "2024.nc", 0)
    build([file], str(tmp_path / "repo"), Access())
    day(data / "2024.nc", 0, steps=4)
    day(data / "2025.nc", 4)
    append([f"{data}/*.nc"], str(tmp_path / "repo"), Access(), replace_known=True)
    assert_reads_as(tmp_path / "repo", *names(data))


def test_an_earlier_file_cannot_change_its_length(repository: Path, data: Path) -> None:
    day(data / "d0.nc", 0, steps=1)
    before = snapshots(repository)
    with pytest.raises(Refused, match="the length of time is 1, but 2"):
        append([f"{data}/*.nc"], str(repository), Access(), replace_known=True)
    assert snapshots(repository) == before


def test_a_withdrawn_file_blocks_nothing(repository: Path, data: Path) -> None:
    (data / "d1.nc").unlink()
    new = day(data / "d2.nc", 4)
    done = append([f"{data}/*.nc"], str(repository), Access())
    assert done.appended == [f"file://{new}"]
    assert done.notes[0].startswith(f"file://{data}/d1.nc: is gone: its values in the store")


@pytest.mark.parametrize("scalar", [False, True], ids=["grid", "crs"])
def test_static_variables_above_groups_that_grow(tmp_path: Path, data: Path, scalar: bool) -> None:
    data.mkdir()
    files = []
    for number in range(5):
        files.append(str(data / f"g{number}.nc"))
        root = xr.Dataset({"crs": 7} if scalar else {"lat": ("y", [1.0, 2.0])})
        root.to_netcdf(files[-1], engine="h5netcdf")
        at = np.datetime64("2024-01-01", "ns") + np.timedelta64(number, "D")
        part = xr.Dataset({"v": (("time", "y"), [[number, 2.0]])}, {"time": [at]})
        part.to_netcdf(
            files[-1], group="product", mode="a", engine="h5netcdf", unlimited_dims=["time"]
        )
        older(files[-1])
    build(files[:2], str(tmp_path / "one"), Access(), concat_dim="time")
    append(files, str(tmp_path / "one"), Access())
    build(files, str(tmp_path / "two"), Access(), concat_dim="time", batch=2)
    for place in ("one", "two"):
        store = open_any_repository(str(tmp_path / place), Access()).readonly_session("main").store
        part = xr.open_zarr(store, group="product", consolidated=False)
        assert part.v[:, 0].values.tolist() == [0, 1, 2, 3, 4]
        report = verify_repository(str(tmp_path / place), Access(), sample=None)
        assert (report.sources, report.failures) == (5, [])


def test_a_file_without_records(tmp_path: Path, repository: Path, data: Path) -> None:
    day(data / "d2.nc", 4, steps=0)
    sentence = f"file://{data}/d2.nc: has no records along time"
    done = append([f"{data}/*.nc"], str(repository), Access())
    assert (done.left_out, done.snapshot) == ([sentence], None)
    day(data / "d3.nc", 6)
    assert append([f"{data}/*.nc"], str(repository), Access()).left_out == [sentence]
    built = build([f"{data}/*.nc"], str(tmp_path / "another"), Access())
    assert built.left_out == [sentence]
    assert len(built.sources) == 3
    with pytest.raises(Refused, match="has no records along time"):
        build([str(data / "d2.nc")], str(tmp_path / "third"), Access(), concat_dim="time")


def by_hand(place: Path, file: str, without: list[str], version: int = 2) -> None:
    """A repository that somebody wrote without the tool, and ``without`` some variables."""
    from obspec_utils.registry import ObjectStoreRegistry
    from obstore.store import LocalStore
    from virtualizarr import open_virtual_dataset
    from virtualizarr.parsers import HDFParser

    prefix = f"file://{Path(file).parent}/"
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix))
    )
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(place))
    repo = icechunk.Repository.create(
        storage, config, authorize_virtual_chunk_access=access, spec_version=version
    )
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    vds = open_virtual_dataset(f"file://{file}", registry=registry, parser=HDFParser())
    with repo.transaction("main", message="by hand") as store:
        vds.drop_vars(without).vz.to_icechunk(store)


@pytest.mark.parametrize("without", [[], ["mask"]], ids=["whole", "part"])
def test_a_repository_of_others_is_taken_over(
    tmp_path: Path, data: Path, without: list[str]
) -> None:
    files = [day(data / f"d{n}.nc", 2 * n) for n in range(2)]
    by_hand(tmp_path / "repo", files[0], without)
    with pytest.raises(Refused, match="does not read as the files of --source do"):
        append(files, str(tmp_path / "repo"), Access(), made_of=(files[1],))
    done = append(files, str(tmp_path / "repo"), Access(), made_of=(files[0],))
    assert done.appended == [f"file://{files[1]}"]
    np.testing.assert_array_equal(read(tmp_path / "repo").v[:, 0, 0], [0, 1, 2, 3])
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []
    day(data / "d2.nc", 4)
    append([f"{data}/*.nc"], str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).sources == 3


def test_a_repository_of_icechunk_1(tmp_path: Path, data: Path) -> None:
    """``build`` says that it is there and names the command that works."""
    files = [day(data / f"d{n}.nc", 2 * n) for n in range(2)]
    by_hand(tmp_path / "repo", files[0], [], version=1)
    with pytest.raises(InputError, match=r"append FILE --repo"):
        build(files, str(tmp_path / "repo"), Access())
    append(files, str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).sources == 2


@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_first_file_keeps_no_later_one_out(tmp_path: Path, how: str) -> None:
    """What is stored once leads to the first file; another one stands in for it."""
    files = [str(Recipe(start=2 * n).write(tmp_path / f"f{n}.nc")) for n in range(4)]
    repository = tmp_path / "repo"
    build(files[:2], str(repository), Access())
    if how == "gone":
        Path(files[0]).unlink()
    else:
        Recipe(start=0, shift=4.0).write(Path(files[0]))
        later = time.time() + 1000
        os.utime(files[0], (later, later))
    done = append(files[2:3], str(repository), Access())
    assert done.appended == [f"file://{files[2]}"]
    assert any("f0.nc: is gone or changed" in note for note in done.notes)
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={
            f"file://{tmp_path}/": icechunk.credentials.LocalFileSystemAccess
        },
    )
    dataset = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    np.testing.assert_array_equal(dataset.mask, np.ones(4))
    np.testing.assert_array_equal(dataset.v[2:], Recipe(steps=6).values[2:])
    Recipe(start=6, mask=2.0).write(Path(files[3]))
    with pytest.raises(Refused, match=r"mask: the value is 2\.0, but 1\.0"):
        append(files[3:], str(repository), Access())
