"""Rows in another order or fewer of them: as NumPy does it, in arrays with holes, of any grid."""

from __future__ import annotations

from itertools import pairwise

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
    rearrange(store, "v", "yx"[axis], chosen)
    rows = np.concatenate([np.arange(span.start, span.stop) for span in chosen])
    array = zarr.open_array(store, path="v", mode="r")
    np.testing.assert_array_equal(array[:], np.take(values, rows, axis))
    there = existing_chunks(store, "v", axis, 0)
    assert (there < np.array(array.cdata_shape)).all(), "a chunk lies outside of the array"
