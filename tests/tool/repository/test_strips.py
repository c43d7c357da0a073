"""Cells of a map of chunks: each chunk is counted once, in the cell in which it lies."""

from __future__ import annotations

import numpy as np
import pytest
from vzarr.repository.strips import BINS, ROWS, Tally


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("counts", [(5, 7, 3), (400, 3, 2), (2, 2, 300), (1, 1, 1)])
def test_shares(axis: int, counts: tuple[int, int, int]) -> None:
    random = np.random.default_rng(sum(counts) + axis)
    state = random.integers(0, 3, counts)  # missing, virtual, native
    state[0, 0, 0] = 1  # so that rows differ
    index = np.argwhere(state > 0).astype("u4")
    index = random.permutation(index)
    tally = Tally("time", axis, counts)
    for part in np.array_split(index, 3):
        tally.add(part, state[tuple(part.T)] == 1)
    strip = tally.strip()
    flat = np.moveaxis(state, axis, 0).reshape(counts[axis], -1).T  # others x records
    rows, bins = min(ROWS, len(flat)), min(BINS, counts[axis])
    for kind, found in ((1, strip.virtual), (2, strip.native)):
        cells = np.zeros((2, rows, bins))
        for (other, record), value in np.ndenumerate(flat):
            cell = other * rows // len(flat), record * bins // counts[axis]
            cells[0][cell] += value == kind
            cells[1][cell] += 1
        np.testing.assert_allclose(np.broadcast_to(found, (rows, bins)), cells[0] / cells[1])


def test_rows_that_are_the_same_are_one() -> None:
    tally = Tally("time", 0, (10, 6))
    index = np.argwhere(np.ones((10, 6), bool))
    tally.add(index[index[:, 0] < 5].astype("u4"), np.ones(30, bool))
    strip = tally.strip()
    np.testing.assert_array_equal(strip.virtual, [[1] * 5 + [0] * 5])
    np.testing.assert_array_equal(strip.native, np.zeros((1, 10)))
