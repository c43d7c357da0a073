"""What a record coordinate covers: its ends, its usual step, and where something is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vzarr.combine.shown import show, show_step
from vzarr.combine.timeline import Timeline, find_timeline


@dataclass(frozen=True)
class Coverage:
    """``begin``, ``end`` and ``step`` as text for people; ``gaps`` are pairs of such texts.

    ``line`` draws them in block characters, where there are any, of ``timeline``.
    """

    size: int
    begin: str | None = None
    end: str | None = None
    step: str | None = None
    gaps: list[tuple[str, str]] = field(default_factory=list)
    is_ordered: bool = True
    line: str | None = None
    timeline: Timeline | None = field(default=None, repr=False, compare=False)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {key: value for key, value in vars(self).items() if key != "timeline"}


def find_coverage(values: np.ndarray) -> Coverage:
    """The coverage of a coordinate of one dimension, in the order in which it is stored."""
    if not values.size:
        return Coverage(0)
    begin, end = show(values[0]), show(values[-1])
    if values.size < 2 or values.dtype.kind in "OSUT":
        return Coverage(values.size, begin, end)
    steps = values[1:] - values[:-1]
    zero = np.zeros((), steps.dtype)
    forward = steps[steps > zero]
    if not forward.size:
        return Coverage(values.size, begin, end, is_ordered=bool((steps < zero).all()))
    usual = Counter(forward.tolist()).most_common(1)[0][0]
    step = show_step(forward[forward.tolist().index(usual)])
    # Months and years differ in length; half a step more is a gap in any calendar.
    is_gap = steps > np.sort(forward)[forward.size // 2] * 1.5
    gaps = [(show(values[n]), show(values[n + 1])) for n in np.flatnonzero(is_gap).tolist()]
    line = find_timeline(values)
    text = line.as_text() if line and gaps else None
    is_ordered = bool(forward.size == steps.size)
    return Coverage(values.size, begin, end, step, gaps, is_ordered, text, line)
