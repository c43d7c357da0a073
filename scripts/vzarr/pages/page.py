"""What a report shows, as plain text and numbers: the page is made of this alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

import vzarr
from vzarr.pages.svg import cells, marks


@dataclass(frozen=True)
class Lane:
    """One line of a timeline. ``kind``: a class of the style, as "virtual" or "odd"."""

    label: str
    kind: str
    shares: np.ndarray
    text: str

    @property
    def picture(self) -> Markup:
        """The line as SVG; what is odd is drawn so that a single record is seen."""
        if self.kind in AMOUNTS:
            rest = "none" if self.kind == "added" else "amounts"
            return cells({self.kind: self.shares}, self.text, rest)
        return marks(self.kind, self.shares, self.text)


AMOUNTS = ("there", "virtual", "added")
"""Kinds of lanes that say how much, where others say whether."""


@dataclass(frozen=True)
class TimelineView:
    """A record coordinate: its ends, its lanes, and sentences on what is missing or odd.

    ``ticks``: places of its axis in percent, and what stands at them.
    """

    name: str
    begin: str
    end: str
    lanes: list[Lane]
    sentences: list[str] = field(default_factory=list)
    more: int = 0
    ticks: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class VariableRow:
    """One array. ``state`` in words; ``shares`` of its chunks by kind, in cells: records to the
    right, ``across`` downwards, from ``begin`` to ``end``.

    ``series`` and ``map`` say what a reader asks for: a point in all records, all of one record.
    """

    path: str
    dims: str
    shape: str
    chunks: str
    dtype: str
    codecs: str
    state: str
    series: str
    map: str
    reason: str = ""
    shares: dict[str, np.ndarray] = field(default_factory=dict)
    across: str = ""
    begin: str = ""
    end: str = ""

    @property
    def picture(self) -> Markup:
        """The chunks as SVG."""
        where = f", records to the right{f', {self.across} downwards' if self.across else ''}"
        text = f"chunks of {self.path}: {self.state}{where}"
        return cells(self.shares, text) if self.shares else Markup("")


@dataclass(frozen=True)
class CommitRow:
    """One commit."""

    when: str
    what: str
    message: str
    snapshot: str
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Difference:
    """The first value of a variable in which a store and a file differ, and how many do."""

    file: str
    variable: str
    at: str
    stored: str
    in_file: str
    count: str


@dataclass(frozen=True)
class Check:
    """What verification found: values that differ, other ``failures`` as sentences, and how many
    ``more`` of both.
    """

    passed: bool
    summary: str
    values: list[Difference] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    more: int = 0


@dataclass(frozen=True)
class Section:
    """Timelines and variables of a store, or of one set of files. ``command`` is what to run.

    ``variables`` are drawn, ``others`` listed.
    """

    title: str
    timelines: list[TimelineView] = field(default_factory=list)
    variables: list[VariableRow] = field(default_factory=list)
    others: list[VariableRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    command: str = ""


@dataclass(frozen=True)
class View:
    """xarray's own view of a group. ``html`` is as xarray made it, which escapes what it shows."""

    name: str
    html: str


@dataclass(frozen=True)
class Page:
    """A whole report. ``facts`` are pairs of a label and a value; ``code`` opens the store."""

    title: str
    facts: list[tuple[str, str]]
    sections: list[Section]
    check: Check | None = None
    commits: list[CommitRow] = field(default_factory=list)
    more_commits: int = 0
    history: TimelineView | None = None
    needs: list[str] = field(default_factory=list)
    code: str = ""
    views: list[View] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    made: str = ""


def made_by() -> str:
    """What the foot of a page says."""
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return f"Made by virtual_zarr.py {vzarr.__version__}, {now}. Needs no network."
