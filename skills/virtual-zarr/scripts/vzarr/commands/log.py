"""The commits of a repository, as ``git log`` shows those of a branch."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

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
