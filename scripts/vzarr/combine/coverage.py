"""What a record coordinate covers: its ends, its usual step, and where something is missing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Coverage:
    """``begin``, ``end`` and ``step`` as text for people; ``gaps`` are pairs of such texts."""

    size: int
    begin: str | None = None
    end: str | None = None
    step: str | None = None
    gaps: list[tuple[str, str]] = field(default_factory=list)
    is_ordered: bool = True


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
    return Coverage(values.size, begin, end, step, gaps, bool(forward.size == steps.size))


def show(value: Any) -> str:
    """A value of a coordinate for people: times without zeros at their end."""
    if isinstance(value, np.datetime64):
        text = str(value.astype("M8[s]")) if value == value.astype("M8[s]") else str(value)
        return text.removesuffix("T00:00:00").removesuffix(":00")
    return str(value)


def show_step(step: Any) -> str:
    """A step for people: of times in the largest unit that divides it."""
    if not isinstance(step, np.timedelta64):
        return show(step)
    seconds = step / np.timedelta64(1, "s")
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
