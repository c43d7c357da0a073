"""Forget old commits, and delete what nothing refers to any more."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import icechunk

from vzarr.errors import InputError
from vzarr.repository.claim import BUILDING
from vzarr.repository.commits import tips
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.objects import stored_bytes
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access, as_url

GRACE = timedelta(days=1)
"""Objects younger than this are kept: a writer that has not committed yet may need them."""


@dataclass(frozen=True)
class Expired:
    """``snapshots`` that history loses, in the order of their times. ``bytes_before`` and
    ``bytes_after`` are of the whole repository; the latter is None where nothing was deleted.
    """

    repository: str
    older_than: datetime
    snapshots: list[str]
    bytes_before: int
    bytes_after: int | None = None
    deleted: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {**asdict(self), "older_than": self.older_than.isoformat()}


def expire(
    location: str,
    access: Access,
    older_than: datetime,
    *,
    delete: bool = False,
    grace: timedelta = GRACE,
) -> Expired:
    """Let history begin at ``older_than``: branches and tags keep what they show.

    Without ``delete`` nothing is changed, and the result says which snapshots would go. The list
    of sources lies in the store, so every file stays known.

    Raises
    ------
    InputError
        If a build is going on there, or was stopped.
    """
    with exclusive_lock(location):
        repository = open_untrusted(location, access)
        branches, tags = tips(repository)
        if BUILDING in branches:
            raise InputError(
                f"{location}: a build goes on here, or was stopped: run its command to its end "
                "first."
            )
        before = stored_bytes(location, access)
        going = _going(repository, {*branches.values(), *tags.values()}, older_than)
        if not delete:
            return Expired(as_url(location), older_than, going, before)
        gone = repository.expire_snapshots(older_than)
        limit = min(older_than, datetime.now(UTC) - grace)
        summary = repository.garbage_collect(limit)
        notes = []
        if limit < older_than:
            notes.append(
                f"objects younger than {grace / timedelta(hours=1):g} h are kept, since a writer "
                "may need them: the same command deletes them later"
            )
        return Expired(
            as_url(location),
            older_than,
            [one for one in going if one in gone] + sorted({*gone} - {*going}),
            before,
            stored_bytes(location, access),
            {
                "chunks": summary.chunks_deleted,
                "manifests": summary.manifests_deleted,
                "snapshots": summary.snapshots_deleted,
            },
            notes,
        )


def _going(repository: icechunk.Repository, shown: set[str], older_than: datetime) -> list[str]:
    """The snapshots that Icechunk would expire: old, and shown by no branch or tag."""
    going: dict[str, datetime] = {}
    for tip in sorted(shown):
        for one in repository.ancestry(snapshot_id=tip):
            if one.written_at < older_than and one.id not in shown and one.parent_id is not None:
                going[one.id] = one.written_at
    return sorted(going, key=going.__getitem__)
