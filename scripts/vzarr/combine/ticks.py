"""Where an axis has marks, and what stands at them: whole years, months, days, hours or numbers."""

from __future__ import annotations

import math
from datetime import datetime
from itertools import product
from typing import Any, Literal

import numpy as np

MOST = 6
"""Marks of an axis at most: more would run into each other on a phone."""

Unit = Literal["h", "D", "M", "Y"]

UNITS: dict[Unit, tuple[tuple[int, ...], str]] = {
    "h": ((12, 6, 3, 1), "%d %b %H:%M"),
    "D": ((1, 2, 5, 10), "%d %b %Y"),
    "M": ((1, 2, 3, 6), "%b %Y"),
    "Y": ((1, 2, 5, 10, 20, 50, 100, 200, 500), "%Y"),
}
"""Lengths of a step in each unit of NumPy, and how its marks are written."""

SECONDS = {"h": 3600, "D": 86_400, "M": 28 * 86_400, "Y": 365 * 86_400}
"""Of the shortest of each unit."""

Tick = tuple[float, str]
"""A place between 0 and 1, and a label."""


def ticks(begin: Any, end: Any) -> list[Tick]:
    """Marks between two values of a coordinate; none for what is neither a moment nor a number."""
    if isinstance(begin, np.datetime64) and isinstance(end, np.datetime64):
        return _moments(begin.astype("M8[s]"), end.astype("M8[s]"))
    if isinstance(begin, np.number) and isinstance(end, np.number):
        return _numbers(float(begin), float(end))
    return []


def _moments(begin: np.datetime64, end: np.datetime64) -> list[Tick]:
    """Of the finest unit that gives no more than ``MOST``."""
    span = (end - begin).astype(float)
    if span <= 0 or not all(isinstance(each.item(), datetime) for each in (begin, end)):
        return []
    for unit, (steps, form) in UNITS.items():
        for step in sorted(steps):
            if span / (step * SECONDS[unit]) > 2 * MOST:
                continue
            marks = _multiples(begin, end, unit, step)
            if len(marks) <= MOST:
                places = [float((mark - begin).astype(float) / span) for mark in marks]
                return [
                    (at, f"{mark.item():{form}}") for at, mark in zip(places, marks, strict=True)
                ]
    return []


def _multiples(
    begin: np.datetime64, end: np.datetime64, unit: Unit, step: int
) -> list[np.datetime64]:
    first, last = begin.astype(f"M8[{unit}]"), end.astype(f"M8[{unit}]")
    marks = np.arange(first, last + np.timedelta64(1, unit))
    number = marks.astype("i8")
    if unit == "D":  # days of a month: the first, and then not too near to its end
        number = (marks - marks.astype("M8[M]")).astype("i8")
        is_mark = (number % step == 0) & (number + step <= 31)
    else:
        is_mark = (number + (1970 if unit == "Y" else 0)) % step == 0
    seconds = marks[is_mark].astype("M8[s]")
    return [mark for mark in seconds if begin <= mark <= end]


def _numbers(begin: float, end: float) -> list[Tick]:
    span = end - begin
    if not (math.isfinite(span) and span > 0):
        return []
    power = math.floor(math.log10(span)) - 1
    for exponent, factor in product(range(power, power + 3), (1, 2, 5)):
        step = factor * 10.0**exponent
        if span / step <= MOST - 1:
            first = math.ceil(begin / step)
            count = math.floor(end / step) - first + 1
            marks = [(first + n) * step for n in range(count)]
            return [((mark - begin) / span, f"{mark:g}") for mark in marks]
    return []
