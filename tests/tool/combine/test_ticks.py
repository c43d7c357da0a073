"""Marks of an axis: few, at whole years, months, days and numbers, and where they belong."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from vzarr.combine.ticks import MOST, UNITS, ticks

FORMS = [form for _, form in UNITS.values()]


@pytest.mark.parametrize(
    ("begin", "end", "labels"),
    [
        ("1990-01-01", "2020-06-01", ["1990", "2000", "2010", "2020"]),
        ("2023-11-15", "2025-02-03", ["Jan 2024", "Apr 2024", "Jul 2024", "Oct 2024", "Jan 2025"]),
        ("2024-01-25", "2024-02-26", ["01 Feb 2024", "11 Feb 2024", "21 Feb 2024"]),
        ("2024-01-01T01", "2024-01-01T03", ["01 Jan 01:00", "01 Jan 02:00", "01 Jan 03:00"]),
    ],
)
def test_labels(begin: str, end: str, labels: list[str]) -> None:
    assert [label for _, label in ticks(np.datetime64(begin, "ns"), np.datetime64(end))] == labels


@pytest.mark.parametrize("hours", [2, 30, 200, 1000, 9000, 50_000, 300_000, 3_000_000])
@pytest.mark.parametrize("begin", ["2000-01-01", "1999-11-30T07", "2024-02-29T23:30"])
def test_moments(begin: str, hours: int) -> None:
    """Never too many, in their order, each where its label says."""
    first = np.datetime64(begin, "s")
    last = first + np.timedelta64(hours, "h")
    marks = ticks(first, last)
    assert 1 <= len(marks) <= MOST
    places = [place for place, _ in marks]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] <= 1
    for place, label in marks:
        moment = (first + np.timedelta64(round(place * hours * 3600), "s")).item()
        assert label in [f"{moment:{form}}" for form in FORMS]
        assert isinstance(moment, datetime)
        assert (moment.minute, moment.second) == (0, 0)


@pytest.mark.parametrize(("begin", "end"), [(0, 10), (3, 1004), (-0.5, 0.25), (1e6, 7e6), (5, 6)])
def test_numbers(begin: float, end: float) -> None:
    marks = ticks(np.float64(begin), np.float64(end))
    assert 2 <= len(marks) <= MOST
    for place, label in marks:
        assert begin + place * (end - begin) == pytest.approx(float(label))


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (np.float64(1), np.float64(1)),
        (np.float64(0), np.float64(np.inf)),
        ("a", "b"),
        (np.datetime64("2024-01-01"), np.datetime64("2024-01-01")),
        (np.datetime64("-4000-01-01", "s"), np.datetime64("2024-01-01", "s")),
    ],
)
def test_none(begin: object, end: object) -> None:
    assert ticks(begin, end) == []
