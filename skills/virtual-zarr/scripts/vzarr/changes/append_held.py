"""What a repository holds before an append: by its own account, or as files show it."""

from __future__ import annotations

from dataclasses import replace

import icechunk

from vzarr.changes.append_request import AppendRequest
from vzarr.changes.dropping import with_dropped
from vzarr.combine.kinds import view_of
from vzarr.combine.record_dimension import find_record_dimension
from vzarr.errors import InputError, Refused
from vzarr.repository.history import (
    Held,
    read_held,
)
from vzarr.repository.ledger import read_ledger
from vzarr.repository.references import array_paths
from vzarr.sources.discover import find_sources
from vzarr.verification.foreign import complete_named, describe_named
from vzarr.verification.store import compare_store
from vzarr.virtualize.read_coordinates import read_coordinates


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
        return _without_dropped(request, _taken_over(request, session), session), request
    account = read_held(repository, session, location, request.access)
    if account is None:
        raise InputError(
            f"{location}: no commit of this tool is on main, so what it holds is unknown. Name "
            "the files that it was made of, and it is taken over if it reads as they do: "
            f"append FILE --repo {location} --source OLD_FILES"
        )
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


def _taken_over(request: AppendRequest, session: icechunk.Session) -> Held:
    """A repository of others, once it reads as the files do that it was made of.

    What the files have and the store has not stays out of it.
    """
    source_patterns = list(request.made_of)
    sources = find_sources(source_patterns, request.access)
    parts = read_coordinates(sources[0], request.access)
    dimension = None
    if len(sources) == 1:  # the names of several tell it
        dimension = find_record_dimension(parts[0])
    array_names = set(array_paths(session.store))
    paths = (
        f"{part.group}/{name}".lstrip("/") for part in parts for name in part.dataset.variables
    )
    left_out = tuple(sorted(path for path in paths if path not in array_names))
    metadata = describe_named(
        session.store, source_patterns, request.access, concat_dim=dimension, skip=left_out
    )
    report = compare_store(
        session.store, metadata, request.access, progress=request.progress("compared")
    )
    if not report.passed:
        raise Refused(
            f"{request.location}: does not read as the files of --source do: "
            f"{report.failures[0]}. Nothing was committed."
        )
    metadata = complete_named(session.store, metadata, request.access)
    known = read_ledger(session.store)
    return Held({**metadata, "replaced": known["replaced"] if known else []}, None)
