"""The commits of a repository, as ``git log`` shows those of a branch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import icechunk

from vzarr.errors import InputError
from vzarr.repository.history import METADATA_KEY
from vzarr.repository.open import find_config
from vzarr.sources.schemes import Access, repository_storage
from vzarr.sources.trust import naming

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
    access = naming(access, location=location)
    config = find_config(location, access)
    repository = icechunk.Repository.open(repository_storage(location, access), config)
    branches = {name: repository.lookup_branch(name) for name in repository.list_branches()}
    tags = {name: repository.lookup_tag(name) for name in repository.list_tags()}
    begin = branches.get(branch) or tags.get(branch)
    if begin is None:
        there = ", ".join(sorted({*branches, *tags}))
        raise InputError(f"{location}: has no branch or tag {branch}; there are: {there}.")
    chosen = (
        _describe(snapshot, branches, tags)
        for snapshot in repository.ancestry(snapshot_id=begin)
        if snapshot.parent_id is not None and (since is None or snapshot.written_at >= since)
    )
    return list(islice(chosen, count))


def _describe(
    snapshot: icechunk.SnapshotInfo, branches: dict[str, str], tags: dict[str, str]
) -> Commit:
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
