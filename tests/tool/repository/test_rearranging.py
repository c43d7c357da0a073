"""Rows in another order or fewer of them: as NumPy does it, in arrays with holes, of any grid."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import icechunk
import numpy as np
import pytest
import zarr
from vzarr.repository.rearranging import rearrange
from vzarr.repository.references import existing_chunks

EDGES = (2, 1, 3, 2, 1, 3)
ROWS = sum(EDGES)


@pytest.fixture
def store() -> icechunk.IcechunkStore:
    repo = icechunk.Repository.create(icechunk.in_memory_storage())
    return repo.writable_session("main").store


def make(
    store: icechunk.IcechunkStore, axis: int, is_regular: bool, random: np.random.Generator
) -> tuple[np.ndarray, list[int]]:
    """An array, two thirds of whose chunks are there; and the rows at which its chunks begin."""
    shape, chunks = [5, 4], [[2, 3], [2, 2]]
    shape[axis] = ROWS
    chunks[axis] = list(EDGES)
    borders = np.cumsum([0, *EDGES]).tolist()
    grid: object = chunks
    if is_regular:
        grid = (2, 2)
        borders = list(range(0, ROWS + 1, 2))
    array = zarr.create_array(
        store, name="v", shape=shape, chunks=grid, dtype="i4", dimension_names=["y", "x"]
    )
    values = np.zeros(shape, "i4")
    for start, stop in pairwise(borders):
        for other in (0, 2):
            if random.random() < 0.67:
                part = [slice(other, other + 2)] * 2
                part[axis] = slice(start, stop)
                values[tuple(part)] = random.integers(1, 1000, values[tuple(part)].shape)
    array[:] = values
    return values, borders


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("is_regular", [True, False])
def test_as_numpy_does_it(
    store: icechunk.IcechunkStore, is_regular: bool, axis: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    values, borders = make(store, axis, is_regular, random)
    spans = [slice(*pair) for pair in pairwise(borders)]
    count = len(spans) if seed % 2 else random.integers(1, len(spans))
    chosen = [spans[n] for n in random.permutation(len(spans))[:count]]
    if seed % 3 == 0:
        chosen.sort(key=lambda span: span.start)
    rearrange(store, "v", "yx"[axis], chosen, {})
    rows = np.concatenate([np.arange(span.start, span.stop) for span in chosen])
    array = zarr.open_array(store, path="v", mode="r")
    np.testing.assert_array_equal(array[:], np.take(values, rows, axis))
    there = existing_chunks(store, "v", axis, 0)
    assert (there < np.array(array.cdata_shape)).all(), "a chunk lies outside of the array"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("known", [True, False], ids=["all known", "one of others"])
def test_references(tmp_path: Path, axis: int, seed: int, known: bool) -> None:
    """Moved with the time that each file was last changed: one that changes later is noticed."""
    random = np.random.default_rng(seed)
    prefix = f"file://{tmp_path}/"
    config = icechunk.RepositoryConfig.default()
    container = icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix))
    config.set_virtual_chunk_container(container)
    repo = icechunk.Repository.create(
        icechunk.in_memory_storage(),
        config,
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    session = repo.writable_session("main")
    names = ["a", "b", "c"]
    numbers = random.integers(1, 1000, (3, 24)).astype("<i4")
    for name, row in zip(names, numbers, strict=True):
        (tmp_path / name).write_bytes(row.tobytes())
        os.utime(tmp_path / name, (1e9, 1e9))
    written = {f"{prefix}{name}": datetime.fromtimestamp(1e9 + 1, UTC) for name in names}
    shape = (6, 4) if axis == 0 else (4, 6)
    array = zarr.create_array(
        session.store,
        name="v",
        shape=shape,
        chunks=(1, 1),
        dtype="<i4",
        compressors=None,
        dimension_names=["y", "x"],
    )
    values = np.zeros(shape, "i4")
    for index in np.ndindex(shape):
        if random.random() < 0.7:
            name, at = int(random.integers(3)), int(random.integers(24))
            values[index] = numbers[name, at]
            url = f"{prefix}{names[name]}"
            checksum = written[url] + timedelta(days=1)
            session.store.set_virtual_ref(
                f"v/c/{index[0]}/{index[1]}", url, offset=4 * at, length=4, checksum=checksum
            )
    session.commit("written")
    session = repo.writable_session("main")
    chosen = [slice(n, n + 1) for n in random.permutation(6).tolist()[: 6 - seed % 2]]
    if not known:
        written.pop(f"{prefix}a")
    rearrange(session.store, "v", "yx"[axis], chosen, written)
    array = zarr.open_array(session.store, path="v", mode="r")
    expected = np.take(values, [span.start for span in chosen], axis)
    np.testing.assert_array_equal(array[:], expected)
    there = existing_chunks(session.store, "v", axis, 0)
    assert sorted(map(tuple, there.tolist())) == sorted(zip(*np.nonzero(expected), strict=True))
    session.commit("moved")
    for name in names:
        os.utime(tmp_path / name, (1e9 + 86500, 1e9 + 86500))
    store = repo.readonly_session("main").store
    with pytest.raises(icechunk.IcechunkError, match="changed"):
        zarr.open_array(store, path="v", mode="r")[:]
