"""The history of a store: its commits as rows, and along time what they added and took away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vzarr.combine.ticks import ticks
from vzarr.pages.page import CommitRow, Lane, TimelineView
from vzarr.reports.costs import counted

if TYPE_CHECKING:
    from vzarr.repository.commits import Commit

BINS = 120
"""Of the lanes of a history."""
KINDS = {"added": "added", "renewed": "added", "replaced": "replaced", "removed": "removed"}
"""The class of the style of what commits count."""
OTHERS = "of others"


def commit_rows(commits: Sequence[Commit]) -> list[CommitRow]:
    """Commits in words."""
    return [_row(commit) for commit in commits]


def _row(commit: Commit) -> CommitRow:
    counts = ", ".join(f"{count:,} {name}" for name, count in commit.counts.items())
    what = f"{commit.command}{f' ({counts})' if counts else ''}" if commit.command else OTHERS
    names = [*commit.branches, *(f"tag {name}" for name in commit.tags)]
    return CommitRow(
        f"{commit.written:%Y-%m-%d %H:%M}", what, commit.message, commit.snapshot, names
    )


def history(commits: Sequence[Commit]) -> TimelineView | None:
    """Commits along time: a lane for each thing that they counted, and one for those of others.

    None where there are fewer than three, or all in the same second.
    """
    moments = np.array([commit.written.replace(tzinfo=None) for commit in commits], "M8[s]")
    if len(moments) < 3 or moments.min() == moments.max():
        return None
    begin, end = moments.min(), moments.max()
    at = ((moments - begin) / (end - begin) * BINS).astype(int).clip(0, BINS - 1)
    lanes = []
    for name, kind in KINDS.items():
        counts = np.array([commit.counts.get(name, 0) for commit in commits])
        if counts.any():
            amounts = np.bincount(at, counts, BINS)
            times = int(np.count_nonzero(counts))
            text = f"{counted(int(counts.sum()), 'file')} {name} by {counted(times, 'commit')}"
            text += f", {counts.max():,} at most" if times > 1 else ""
            lanes.append(Lane(name, kind, amounts / amounts.max(), text))
    foreign = np.array([commit.command is None for commit in commits])
    if foreign.any():
        text = f"{counted(int(foreign.sum()), 'commit')} {OTHERS}"
        lanes.append(Lane(OTHERS, "late", np.bincount(at, foreign, BINS), text))
    if not lanes:
        return None
    told = [lane.text for lane in lanes]
    marks = [(100 * place, label) for place, label in ticks(begin, end)]
    return TimelineView("", f"{begin}", f"{end}", lanes, told, 0, marks)
