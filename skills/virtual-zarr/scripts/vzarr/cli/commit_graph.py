"""Commits as a graph of lines, as ``git log --graph`` draws it.

A commit of Icechunk continues one other at most, so lines part and never join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vzarr.repository.commits import Commit


@dataclass(frozen=True)
class Signs:
    """What lines are drawn with; ``near`` and ``far`` end a lane that meets another on its left."""

    commit: str
    lane: str
    begin: str
    along: str
    across: str
    near: str
    far: str


LINES = Signs("●", "│", "├", "─", "┼", "┴", "╯")
ASCII = Signs("*", "|", "|", "-", "+", "^", "'")


def draw(commits: Sequence[Commit], text: Callable[[Commit], str], signs: Signs) -> list[str]:
    """Lines of commits, the newest first; none stands above one that continues it.

    Each lane leads down to a commit, named by the lane; a place that is free is None.
    """
    shown = {commit.snapshot for commit in commits}
    lanes: list[str | None] = []
    lines: list[str] = []
    ended: int | None = None
    for commit in commits:
        lines += _meeting(lanes, commit.snapshot, signs)
        if commit.snapshot not in lanes:
            _begin(lanes, commit.snapshot, ended)
        marks = [
            signs.commit if lane == commit.snapshot else signs.lane if lane else " "
            for lane in lanes
        ]
        lines.append(f"{' '.join(marks)} {text(commit)}")
        parent = commit.parent if commit.parent in shown else None
        place = lanes.index(commit.snapshot)
        lanes[place] = parent
        ended = place if parent is None else None
        while lanes and lanes[-1] is None:
            lanes.pop()
    return lines


def _begin(lanes: list[str | None], name: str, ended: int | None) -> None:
    """A lane in the first place that is free; not below one that has just ended, as its next."""
    lanes += [None, None]
    free = (place for place, lane in enumerate(lanes) if lane is None and place != ended)
    lanes[next(free)] = name
    while lanes[-1] is None:
        lanes.pop()


def _meeting(lanes: list[str | None], name: str, signs: Signs) -> Iterator[str]:
    """A line on which the lanes that lead to a commit become one; none where there is only one."""
    places = [place for place, lane in enumerate(lanes) if lane == name]
    if len(places) < 2:
        return
    first, last = places[0], places[-1]
    parts = []
    for place, lane in enumerate(lanes):
        inside = first <= place < last
        if place == first:
            sign = signs.begin
        elif place in places:
            sign = signs.far if place == last else signs.near
        elif first < place < last:
            sign = signs.across if lane else signs.along
        else:
            sign = signs.lane if lane else " "
        parts.append(sign + (signs.along if inside else " "))
    for place in places[1:]:
        lanes[place] = None
    while lanes and lanes[-1] is None:
        lanes.pop()
    yield "".join(parts).rstrip()
