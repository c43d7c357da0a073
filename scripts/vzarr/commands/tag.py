"""Name a commit for good: readers open it by name, and expiry keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import icechunk

from vzarr.errors import InputError
from vzarr.repository.commits import tips
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access, as_url


@dataclass(frozen=True)
class Tagged:
    """A tag, and the snapshot that it names, or (``is_deleted``) named."""

    repository: str
    tag: str
    snapshot: str
    is_deleted: bool = False

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def tag(
    location: str,
    access: Access,
    name: str,
    *,
    branch: str = "main",
    snapshot: str | None = None,
    delete: bool = False,
) -> Tagged:
    """Make a tag of a branch's tip or a ``snapshot``, or delete one. Safe to run twice.

    Raises
    ------
    InputError
        If the name is taken by another snapshot, was deleted before, or names nothing to delete.
    """
    with exclusive_lock(location):
        repository = open_untrusted(location, access)
        branches, tags = tips(repository)
        if delete:
            if name not in tags:
                there = ", ".join(sorted(tags)) or "none"
                raise InputError(f"{location}: has no tag {name}; there are: {there}.")
            repository.delete_tag(name)
            return Tagged(as_url(location), name, tags[name], is_deleted=True)
        if snapshot is None and branch not in branches:
            there = ", ".join(sorted(branches))
            raise InputError(f"{location}: has no branch {branch}; there are: {there}.")
        where = snapshot or branches[branch]
        if tags.get(name) == where:
            return Tagged(as_url(location), name, where)
        if name in tags:
            raise InputError(
                f"{location}: the tag {name} names {tags[name]}, and a tag never moves: take "
                "another name."
            )
        try:
            repository.create_tag(name, where)
        except icechunk.IcechunkError as error:
            first = str(error).splitlines()[0]
            raise InputError(
                f"{location}: {name} cannot be made a tag of {where} ({first}): a name that was "
                "deleted cannot be used again, and log lists the snapshots."
            ) from error
    return Tagged(as_url(location), name, where)
