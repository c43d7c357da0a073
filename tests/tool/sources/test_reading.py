"""Remote files: what is read is right, and how often an object store is asked for it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from making import Recipe
from vzarr.changes.build import build
from vzarr.sources import remote_file as reading
from vzarr.sources.content import fetch
from vzarr.sources.discover import find_sources, look_up
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.remote_file import RemoteFile, read_parts, read_remote
from vzarr.sources.schemes import Access
from vzarr.virtualize.parse import parse_file
from vzarr.virtualize.pool import Options, parse_in_turn

from benchmarks.latency import FarStore, serve

PUBLIC = Access(anonymous=True)
BLOCK = 1000


@pytest.fixture
def served(clean_environment: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


@pytest.fixture
def far(served: Path) -> Iterator[FarStore]:
    """The served folder as a bucket that counts requests; no delay."""
    with serve(served, 0.0) as store, store.entered():
        yield store


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", BLOCK)
    monkeypatch.setattr(reading, "ONE_REQUEST", BLOCK)
    monkeypatch.setattr(reading, "IN_MEMORY_LIMIT", 100 * BLOCK)
    monkeypatch.setattr(reading, "BLOCKS", 3)


def random_bytes(path: Path, size: int) -> bytes:
    data = np.random.default_rng(size).bytes(size)
    path.write_bytes(data)
    return data


@pytest.mark.parametrize("size", [10 * BLOCK + 1, 100 * BLOCK + 1], ids=["held", "too large"])
def test_file_reads_what_is_there(
    served: Path, far: FarStore, small_blocks: None, size: int
) -> None:
    """Seeks and reads at random, across blocks and the end, as of a local file."""
    data = random_bytes(served / "data", size)
    local, remote = io.BytesIO(data), RemoteFile(far.object_store(), "data", size)
    random = np.random.default_rng(0)
    for _ in range(300):
        start, length = int(random.integers(0, size + 10)), int(random.integers(0, 3 * BLOCK))
        assert remote.seek(start) == local.seek(start)
        assert remote.read(length) == local.read(length)
        assert remote.tell() == local.tell()
    assert remote.seek(-5, io.SEEK_END) == size - 5
    assert remote.seek(2, io.SEEK_CUR) == size - 3
    assert remote.read() == data[-3:]


def test_blocks_are_fetched_once_and_the_whole_when_they_do_not_end(
    served: Path, far: FarStore, small_blocks: None
) -> None:
    data = random_bytes(served / "data", 10 * BLOCK)
    remote = RemoteFile(far.object_store(), "data", len(data))
    far.take_counts()
    for _ in range(5):
        assert remote.range(10, 20) == data[10:20]
    assert far.take_counts().requests == 1
    for number in range(1, reading.PATIENCE):
        remote.range(number * BLOCK, number * BLOCK + 1)
    assert far.take_counts().requests == reading.PATIENCE - 1
    assert remote.range(9 * BLOCK, 9 * BLOCK + 5) == data[9 * BLOCK : 9 * BLOCK + 5]
    assert far.take_counts().requests == 10, "the whole, in parts"
    for number in range(10):
        remote.range(number * BLOCK, number * BLOCK + 1)
    assert far.take_counts().requests == 0


def test_too_large_to_hold_is_read_by_blocks_only(
    served: Path, far: FarStore, small_blocks: None
) -> None:
    data = random_bytes(served / "data", 200 * BLOCK)
    remote = RemoteFile(far.object_store(), "data", len(data))
    far.take_counts()
    for number in range(20):
        remote.range(number * BLOCK, number * BLOCK + 1)
    counts = far.take_counts()
    assert (counts.requests, counts.bytes) == (20, 20 * BLOCK)


def test_parts_join_to_the_whole(served: Path, far: FarStore, small_blocks: None) -> None:
    data = random_bytes(served / "data", 7 * BLOCK + 123)
    assert read_parts(far.object_store(), "data", len(data)) == data


def test_what_is_no_hdf5_is_held_whole(served: Path, far: FarStore, small_blocks: None) -> None:
    data = random_bytes(served / "data", 7 * BLOCK)
    assert read_remote(far.object_store(), "data", len(data)) == data


def test_a_small_file_is_one_request(served: Path, far: FarStore) -> None:
    """Beside the listing; the limit is four of a typical small file."""
    for number in range(20):
        Recipe(start=2 * number).write(served / f"f{number}.nc")
    sources = find_sources([far.prefix + "*.nc"], PUBLIC)
    assert far.take_counts().requests == 1
    results = list(parse_in_turn(sources, Options(PUBLIC, record_dimension="time")))
    assert [result.source for result in results] == sources
    assert all(result.virtual == ["v"] or "v" in result.virtual for result in results)
    assert far.take_counts().requests == len(sources)


def test_a_chunk_is_one_request(served: Path, far: FarStore, tmp_path: Path) -> None:
    """Also for readers that know nothing of it: the setting is the repository's."""
    values = np.random.default_rng(0).random((3, 50_000)).astype("f4")
    for number, row in enumerate(values):
        with netCDF4.Dataset(served / f"f{number}.nc", "w") as file:
            file.createDimension("time", None)
            file.createDimension("x", 50_000)
            file.createVariable("time", "f8", ("time",))[:] = [number]
            file.createVariable("v", "f4", ("time", "x"), chunksizes=(1, 50_000))[0] = row
    build([far.prefix + "*.nc"], str(tmp_path / "repo"), PUBLIC)
    keys = icechunk.Credentials.S3(icechunk.s3_credentials(anonymous=True))
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(tmp_path / "repo")),
        authorize_virtual_chunk_access={far.prefix: keys},
    )
    dataset = xr.open_zarr(repo.readonly_session("main").store, consolidated=False, chunks=None)
    far.take_counts()
    np.testing.assert_array_equal(dataset.v.values, values)
    assert far.take_counts().requests == 3


def test_a_large_file_reads_as_the_same_file_here(
    served: Path, far: FarStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By blocks, with its values compared: same references, same fingerprint, few requests."""
    path = served / "large.h5"
    with h5py.File(path, "w") as file:
        for name, size in (("x", 200), ("y", 20_000)):
            file[name] = np.arange(float(size))
            file[name].make_scale(name)
        for number in range(3):
            values = np.random.default_rng(number).random((200, 20_000)).astype("f4")
            file.create_dataset(f"v{number}", data=values, chunks=(1, 20_000))
            for axis, name in enumerate(("x", "y")):
                file[f"v{number}"].dims[axis].attach_scale(file[name])
    here = parse_file(find_sources([str(path)], Access())[0], Access())
    far.take_counts()
    source = look_up(far.prefix + "large.h5", PUBLIC)
    there = parse_file(source, PUBLIC)
    assert far.take_counts().requests < 30
    assert there.virtual == here.virtual
    assert there.fingerprint == here.fingerprint
    for name in here.virtual:
        mine = there.dataset[name].variable.data.manifest.dict()
        other = here.dataset[name].variable.data.manifest.dict()
        places = [[(e["offset"], e["length"]) for e in found.values()] for found in (mine, other)]
        assert places[0] == places[1]
        assert {entry["path"] for entry in mine.values()} == {far.prefix + "large.h5"}
    content = fetch(source.url, PUBLIC, source.size)
    assert isinstance(content.handle, RemoteFile)
    content.read()
    assert fingerprint(content, source.size) == here.fingerprint
