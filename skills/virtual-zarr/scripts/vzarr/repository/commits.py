"""The commits of a repository, and what branches and tags show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import icechunk

from vzarr.repository.history import METADATA_KEY

COUNTS = ("added", "replaced", "removed", "renewed")
"""Keys of this tool's commits that count files."""


@dataclass(frozen=True)
class Commit:
    """``command`` and ``counts`` (files added, replaced, removed) of this tool's own commits; of
    others None and empty. ``records`` along the record dimension after the commit, where it says.
    """

    snapshot: str
    parent: str | None
    written: datetime
    message: str
    command: str | None
    counts: dict[str, int]
    records: int | None
    branches: list[str]
    tags: list[str]

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {**asdict(self), "written": self.written.isoformat()}


def tips(repository: icechunk.Repository) -> tuple[dict[str, str], dict[str, str]]:
    """The snapshots of all branches and of all tags, by name."""
    return (
        {name: repository.lookup_branch(name) for name in repository.list_branches()},
        {name: repository.lookup_tag(name) for name in repository.list_tags()},
    )


def describe_commit(
    snapshot: icechunk.SnapshotInfo, branches: dict[str, str], tags: dict[str, str]
) -> Commit:
    """One commit, with the branches and tags that show it."""
    own = snapshot.metadata.get(METADATA_KEY) or {}
    return Commit(
        snapshot=snapshot.id,
        parent=snapshot.parent_id,
        written=snapshot.written_at,
        message=snapshot.message,
        command=own.get("command"),
        counts={name: int(own[name]) for name in COUNTS if own.get(name)},
        records=own.get("records"),
        branches=sorted(name for name, tip in branches.items() if tip == snapshot.id),
        tags=sorted(name for name, tip in tags.items() if tip == snapshot.id),
    )
