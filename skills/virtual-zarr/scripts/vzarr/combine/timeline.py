"""A record coordinate as a line of bins: how much of each is there, and where something is odd."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vzarr.combine.shown import show
from vzarr.combine.ticks import Tick, ticks

BINS = 420
"""Of a picture; a multiple of ``WIDTH``, so that text has its own in whole numbers."""
WIDTH = 60
"""Characters of a line of text."""
LEVELS = " ░▒▓█"
"""None, a little, half, most, all of a bin is there."""


@dataclass(frozen=True)
class Timeline:
    """``shares``: how much of each bin has records, from ``begin`` to ``end``.

    ``marks``: by name, the same of what is odd, as "overlap" or "replaced". ``ticks``: places of
    the line between 0 and 1, and what stands at them.
    """

    begin: str
    end: str
    shares: np.ndarray
    marks: dict[str, np.ndarray] = field(default_factory=dict)
    ticks: list[Tick] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing between the ends."""
        return bool((self.shares > 1 - 1e-9).all())

    def as_text(self, width: int = WIDTH) -> str:
        """One line of block characters; what lacks anything is never shown as full."""
        groups = np.array_split(self.shares, min(width, len(self.shares)))
        shares = np.array([group.mean() for group in groups])
        levels = np.where(shares > 1 - 1e-9, 4, np.clip(np.ceil(shares * 3.999), 0, 3))
        levels[(shares > 0) & (levels == 0)] = 1
        return "".join(LEVELS[int(level)] for level in levels)


def as_numbers(values: np.ndarray) -> np.ndarray | None:
    """Moments and numbers as floats; None for what has no distance, as text."""
    if values.dtype.kind == "M":
        return values.astype("M8[us]").astype("i8").astype(float)
    if values.dtype.kind in "iuf":
        return values.astype(float)
    try:
        return np.array([_since(value) for value in values.ravel()], float)
    except (AttributeError, TypeError, ValueError):
        return None


def _since(moment: Any) -> float:
    """Seconds of a moment in a calendar of cftime, near enough for a picture."""
    days = moment.toordinal(fractional=True)
    return float(days) * 86400


def find_timeline(values: np.ndarray, bins: int = BINS) -> Timeline | None:
    """The timeline of a coordinate; None where it is too short, or has no distances.

    A record counts up to the next one, unless that is further than one and a half usual steps.
    """
    numbers = as_numbers(values)
    if numbers is None or numbers.size < 2 or not np.isfinite(numbers).all():
        return None
    order = np.argsort(numbers, kind="stable")
    numbers = np.unique(numbers)
    steps = np.diff(numbers)
    if not steps.size:
        return None
    usual = float(np.sort(steps)[steps.size // 2])
    lengths = np.append(np.where(steps > 1.5 * usual, usual, steps), usual)
    begin, end = numbers[0], numbers[-1] + usual
    edges = np.linspace(begin, end, bins + 1)
    before = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.searchsorted(numbers, edges, "right") - 1
    inside = np.clip(edges - numbers[np.maximum(at, 0)], 0, lengths[np.maximum(at, 0)])
    covered = before[np.maximum(at, 0)] + inside
    shares = np.clip(np.diff(covered) / (end - begin) * bins, 0, 1)
    shares[shares > 1 - 1e-6] = 1
    first, last = values.ravel()[order[[0, -1]]]
    part = (numbers[-1] - begin) / (end - begin)
    marks = [(place * part, label) for place, label in ticks(first, last)]
    return Timeline(show(first), show(last), shares, ticks=marks)


def spans_to_bins(
    values: np.ndarray, spans: Iterable[Sequence[float]], bins: int = BINS
) -> np.ndarray:
    """Spans along a coordinate, in its numbers, as shares of bins of its timeline."""
    known = as_numbers(values)
    assert known is not None, "a timeline is of numbers"
    numbers = np.unique(known)
    steps = np.diff(numbers)
    usual = float(np.sort(steps)[steps.size // 2]) if steps.size else 1.0
    begin, width = numbers[0], (numbers[-1] + usual - numbers[0]) / bins
    changes = np.zeros(bins + 1)
    for first, last in spans:
        low = int(np.clip((first - begin) / width, 0, bins - 1))
        high = int(np.clip(np.ceil((last + usual - begin) / width), low + 1, bins))
        changes[low] += 1
        changes[high] -= 1
    return np.clip(np.cumsum(changes)[:-1], 0, 1)
