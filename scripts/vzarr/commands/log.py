"""The commits of a repository, as ``git log`` shows those of a branch, or of all."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import icechunk

from vzarr.errors import InputError
from vzarr.repository.commits import Commit, describe_commit, tips
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access


def read_log(
    location: str,
    access: Access,
    *,
    branch: str = "main",
    count: int | None = None,
    since: datetime | None = None,
) -> list[Commit]:
    """The commits of a branch or a tag, the newest first: ``count`` at most, none before ``since``.

    Raises
    ------
    InputError
        If there is no such repository or branch.
    """
    repository = open_untrusted(location, access)
    branches, tags = tips(repository)
    begin = branches.get(branch) or tags.get(branch)
    if begin is None:
        there = ", ".join(sorted({*branches, *tags}))
        raise InputError(f"{location}: has no branch or tag {branch}; there are: {there}.")
    chosen = (
        describe_commit(snapshot, branches, tags)
        for snapshot in repository.ancestry(snapshot_id=begin)
        if snapshot.parent_id is not None and (since is None or snapshot.written_at >= since)
    )
    return list(islice(chosen, count))


@dataclass(frozen=True)
class Graph:
    """Commits of all branches and tags, none before one that continues it: those of ``main``, the
    ``others``, and ``every`` one in the order in which they are drawn.
    """

    every: list[Commit]
    main: list[Commit]
    others: list[Commit]

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        lists = {"commits": self.main, "others": self.others}
        return {name: [commit.as_json() for commit in each] for name, each in lists.items()}


def read_graph(
    location: str, access: Access, *, count: int | None = None, since: datetime | None = None
) -> Graph:
    """The commits of all branches and tags, the newest first: ``count`` at most of each list.

    Raises
    ------
    InputError
        If there is no such repository.
    """
    repository = open_untrusted(location, access)
    branches, tags = tips(repository)
    known = _reached(repository, {*branches.values(), *tags.values()})
    every = [
        describe_commit(snapshot, branches, tags)
        for snapshot in _newest_first(known)
        if snapshot.parent_id is not None and (since is None or snapshot.written_at >= since)
    ]
    names = set(_line_of(known, branches.get("main")))
    main = [commit for commit in every if commit.snapshot in names]
    others = [commit for commit in every if commit.snapshot not in names]
    return Graph(every[:count], main[:count], others[:count])


def _reached(
    repository: icechunk.Repository, heads: Iterable[str]
) -> dict[str, icechunk.SnapshotInfo]:
    """All snapshots that heads continue, by their names; each is looked at once."""
    known: dict[str, icechunk.SnapshotInfo] = {}
    for head in sorted(heads):
        if head in known:
            continue
        for snapshot in repository.ancestry(snapshot_id=head):
            if snapshot.id in known:
                break
            known[snapshot.id] = snapshot
    return known


def _newest_first(known: dict[str, icechunk.SnapshotInfo]) -> Iterator[icechunk.SnapshotInfo]:
    """By time, but none before one that continues it: clocks of writers differ."""
    waiting = Counter(one.parent_id for one in known.values() if one.parent_id is not None)
    ready = [(-one.written_at.timestamp(), one.id) for one in known.values() if not waiting[one.id]]
    heapq.heapify(ready)
    while ready:
        snapshot = known[heapq.heappop(ready)[1]]
        yield snapshot
        parent = snapshot.parent_id
        if parent in known:
            waiting[parent] -= 1
            if not waiting[parent]:
                heapq.heappush(ready, (-known[parent].written_at.timestamp(), parent))


def _line_of(known: dict[str, icechunk.SnapshotInfo], name: str | None) -> Iterator[str]:
    while name is not None and name in known:
        yield name
        name = known[name].parent_id
