"""Where along a dimension an array's chunks are virtual, native or missing, as bins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 120
"""Of the strip of one array."""


@dataclass(frozen=True)
class Strip:
    """Shares of chunks in each bin along a dimension: ``virtual`` and ``native``; the rest reads as
    the fill value.
    """

    dimension: str
    virtual: np.ndarray
    native: np.ndarray


class Tally:
    """Counts chunks by bin, as batches of them come. ``counts`` are chunks along each dimension."""

    def __init__(self, dimension: str, axis: int, counts: tuple[int, ...]) -> None:
        self.dimension, self.axis, self.counts = dimension, axis, counts
        self.bins = min(BINS, counts[axis])
        self.tally = np.zeros((2, self.bins))

    def add(self, index: np.ndarray, is_virtual: np.ndarray) -> None:
        """Take in a batch: ``index`` of shape (n, dimensions)."""
        at = index[:, self.axis].astype("i8") * self.bins // self.counts[self.axis]
        for row, chosen in enumerate((is_virtual, ~is_virtual)):
            self.tally[row] += np.bincount(at[chosen], minlength=self.bins)[: self.bins]

    def strip(self) -> Strip:
        """What was counted, as shares of what could be there."""
        length = self.counts[self.axis]
        rows = np.bincount(np.arange(length) * self.bins // length, minlength=self.bins)
        expected = rows * (int(np.prod(self.counts)) // length)
        return Strip(self.dimension, *(self.tally / expected))
