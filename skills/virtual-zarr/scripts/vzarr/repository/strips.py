"""Where an array's chunks are virtual, native or missing, as a map of cells: the dimension of the
records to the right, all others downwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

BINS, ROWS = 120, 12
"""Cells along the records, and across them, of the map of one array."""


@dataclass(frozen=True)
class Strip:
    """Shares of chunks in each cell, of shape (rows, bins): ``virtual`` and ``native``; the rest
    reads as the fill value. Where all rows are the same there is one.
    """

    dimension: str
    virtual: np.ndarray
    native: np.ndarray


class Tally:
    """Counts chunks by cell, batch by batch. ``counts`` are chunks along each dimension."""

    def __init__(self, dimension: str, axis: int, counts: tuple[int, ...]) -> None:
        self.dimension, self.axis, self.counts = dimension, axis, counts
        self.others = math.prod(counts) // counts[axis]
        self.bins, self.rows = min(BINS, counts[axis]), min(ROWS, self.others)
        self.tally = np.zeros((2, self.rows * self.bins))
        across = [count for at, count in enumerate(counts) if at != axis]
        steps = [math.prod(across[at + 1 :]) for at in range(len(across))]
        self.steps = np.insert(np.array(steps, "i8"), axis, 0)

    def add(self, index: np.ndarray, is_virtual: np.ndarray) -> None:
        """Take in a batch: ``index`` of shape (n, dimensions)."""
        index = index.astype("i8")
        at = index[:, self.axis] * self.bins // self.counts[self.axis]
        if self.rows > 1:
            at += index @ self.steps * self.rows // self.others * self.bins
        for row, chosen in enumerate((is_virtual, ~is_virtual)):
            size = self.rows * self.bins
            self.tally[row] += np.bincount(at[chosen], minlength=size)[:size]

    def strip(self) -> Strip:
        """What was counted, as shares of what could be there."""
        expected = np.outer(
            _sizes(self.others, self.rows), _sizes(self.counts[self.axis], self.bins)
        )
        virtual, native = self.tally.reshape(2, self.rows, self.bins) / expected
        if (virtual == virtual[0]).all() and (native == native[0]).all():
            virtual, native = virtual[:1], native[:1]
        return Strip(self.dimension, virtual, native)


def _sizes(length: int, bins: int) -> np.ndarray:
    """How many of ``length`` things come into each bin."""
    return np.bincount(np.arange(length) * bins // length, minlength=bins)
