"""Show an older commit on a branch again. Nothing is deleted until ``expire`` collects it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import icechunk

from vzarr.errors import InputError, Refused
from vzarr.repository.commits import Commit, describe_commit, tips
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access, as_url


@dataclass(frozen=True)
class RolledBack:
    """``left`` is the snapshot that the branch showed, ``now`` the one that it shows; ``undone``
    the commits that it does not show any more, the newest first.
    """

    repository: str
    branch: str
    left: str
    now: str
    undone: list[Commit]
    is_done: bool

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {**vars(self), "undone": [commit.as_json() for commit in self.undone]}


def rollback(
    location: str,
    access: Access,
    to: str,
    *,
    branch: str = "main",
    dry_run: bool = False,
) -> RolledBack:
    """Let a branch show an earlier commit of its own, or a tag.

    Raises
    ------
    InputError
        If there is no such branch, or ``to`` is no commit of it and no tag.
    Refused
        If another writer commits at the same time: nothing is changed.
    """
    with exclusive_lock(location):
        repository = open_untrusted(location, access)
        branches, tags = tips(repository)
        if branch not in branches:
            there = ", ".join(sorted(branches))
            raise InputError(f"{location}: has no branch {branch}; there are: {there}.")
        left = branches[branch]
        history = list(repository.ancestry(snapshot_id=left))
        now = tags.get(to, to)
        if to not in tags and now not in {one.id for one in history[:-1]}:
            raise InputError(
                f"{location}: {to} is no commit of {branch} and no tag: virtual_zarr.py log "
                "lists the commits."
            )
        remaining = {one.id for one in repository.ancestry(snapshot_id=now)}
        gone = [one for one in history if one.id not in remaining]
        undone = [describe_commit(one, branches, tags) for one in gone]
        if not dry_run and now != left:
            try:
                repository.reset_branch(branch, now, from_snapshot_id=left)
            except icechunk.ConflictError as error:
                raise Refused(
                    f"{location}: another writer has just committed to {branch}, so nothing was "
                    "changed: look at log, and run it again."
                ) from error
    return RolledBack(as_url(location), branch, left, now, undone, is_done=not dry_run)
