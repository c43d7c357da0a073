"""What a repository holds before an append: by its own account, or as files show it."""

from __future__ import annotations

from dataclasses import replace

import icechunk

from vzarr.changes.append_request import AppendRequest
from vzarr.changes.dropping import with_dropped
from vzarr.changes.taking_over import check_taken_out, of_its_references, of_named_files
from vzarr.combine.kinds import view_of
from vzarr.errors import InputError
from vzarr.repository.history import (
    Held,
    read_held,
)


def read_held_files(
    request: AppendRequest, repository: icechunk.Repository, session: icechunk.Session
) -> tuple[Held, AppendRequest]:
    """What is held, and the request with the access that its sources need.

    Raises
    ------
    InputError
        If it is unknown, or nothing can follow.
    Refused
        If a repository of others does not read as the files do that it was made of.
    """
    location = request.location
    if request.made_of:
        return _without_dropped(request, of_named_files(request, session), session), request
    account = read_held(repository, session, location, request.access)
    if account is None:
        account = of_its_references(request, session)
    check_taken_out(account, session.store, request.access, request.progress)
    metadata = account.metadata
    if metadata["concat_dim"] is None:
        raise InputError(
            f"{location}: was built without a record dimension, so nothing can follow: "
            "build it anew with --concat-dim NAME."
        )
    access = request.access
    if metadata.get("moved"):
        old, new = metadata["moved"]
        access = replace(access, moved=(old, new))
    access = replace(access, select=tuple(metadata.get("select", ())))
    if request.kind is not None:
        account = replace(account, metadata=view_of(metadata, request.kind))
    account = _without_dropped(request, account, session)
    return account, replace(request, access=access)


def _without_dropped(request: AppendRequest, known: Held, session: icechunk.Session) -> Held:
    """What is held, and what of new files is not to be."""
    metadata = with_dropped(known.metadata, request.drop, session.store)
    return replace(known, metadata=metadata)
