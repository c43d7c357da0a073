"""New files behind the last one of a repository: idempotent, in order, one commit a run."""

from __future__ import annotations

from datetime import UTC, datetime

import icechunk

from vzarr.changes.append_fitting import find_fitting
from vzarr.changes.append_held import read_held_files
from vzarr.changes.append_overlap import taken_back, without_repeated
from vzarr.changes.append_request import Appended, AppendRequest
from vzarr.changes.append_sorting import find_wanted, parse_wanted, sort_out
from vzarr.changes.append_writing import (
    compare_with_sources,
    grown_last,
    side_by_side,
    with_new_containers,
    without_last,
    write_new,
)
from vzarr.changes.replacements import follow_files, replace_files
from vzarr.changes.stand_in import find_stand_in, write_stand_in
from vzarr.errors import Refused
from vzarr.progress import Progress, silent
from vzarr.repository.history import (
    check_unchanged,
    commit_metadata,
)
from vzarr.repository.ledger import write_ledger
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_any_repository
from vzarr.sources.discover import Source, find_sources, last_updated
from vzarr.sources.prefixes import as_prefix
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming, reaching

ATTEMPTS = 10
"""Runs against other writers before giving up."""


def append(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    replace_known: bool = False,
    skip_bad: bool = False,
    made_of: tuple[str, ...] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    irregular: str | None = None,
    overlap: str | None = None,
    coord_table: str | None = None,
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Appended:
    """Append those files that the repository does not hold yet, in the order of their records.

    A file counts as held by its URL, size and time of change, or by its content under any name. One
    that was written again with the same content gets a new checksum. ``replace_known`` writes a
    file that changed since, or that has the records of one that is there, over the old one; a file
    whose place was taken never comes back by itself. ``made_of`` names the files of a repository
    that this tool did not build: it is taken over if it reads as they do. ``prefixes`` as in
    ``build``, and ``irregular``; else what ``build`` was told holds. Safe to run twice, also at the
    same time.

    Raises
    ------
    InputError
        For patterns without a match, an unreadable file, no repository of this tool.
    Refused
        For files that do not fit behind what is there.
    """
    prefixes = tuple(map(as_prefix, prefixes))
    access = naming(access, [*patterns, *made_of], location)
    repository = open_any_repository(location, access)
    access = reaching(access, repository.config, location)
    sources = find_sources(patterns, access)
    request = AppendRequest(
        location=location,
        access=access,
        replace_known=replace_known,
        skip_bad=skip_bad,
        made_of=made_of,
        message=message,
        workers=workers,
        dask=dask,
        progress=progress,
        patterns=tuple(patterns),
        prefixes=prefixes,
        irregular=irregular,
        overlap=overlap,
        coord_table=coord_table,
    )
    for _ in range(ATTEMPTS):
        try:
            with exclusive_lock(location):
                return _append_once(request, repository, sources)
        except icechunk.ConflictError:
            # Someone else committed: what is new has to be found out again.
            repository = open_any_repository(location, access)
    raise Refused(
        f"{location}: other writers committed first, {ATTEMPTS} times. Nothing was committed: run "
        "it again when fewer write."
    )


def _append_once(
    request: AppendRequest, repository: icechunk.Repository, sources: list[Source]
) -> Appended:
    """One attempt, which fails where somebody else commits meanwhile."""
    appended = Appended(as_url(request.location))
    started = datetime.now(UTC)
    session = repository.writable_session("main")
    held_metadata, request = read_held_files(request, repository, session)
    appended.notes += held_metadata.notes
    metadata = held_metadata.metadata
    parsed = parse_wanted(request, find_wanted(sources, metadata, appended), metadata, appended)
    todo = sort_out(request, parsed, session, metadata, appended)
    grown = grown_last(todo, metadata) or taken_back(
        request, todo, session.store, metadata, appended
    )
    rewritten = {file.source.url for file in [*todo.replaced.values(), *(grown or ())]}
    stand_in = find_stand_in(session.store, metadata, rewritten, request.access)
    if stand_in is not None:
        appended.notes += stand_in.notes
        write_stand_in(session.store, metadata, stand_in, started)
    if grown is not None:
        metadata = without_last(session.store, metadata, grown[0], started)
    more = side_by_side([*(grown or ()), *todo.new], metadata, request.access)
    more = without_repeated(request, more, session.store, metadata)
    grown = grown and more[:1]
    new = find_fitting(request, more, session.store, metadata)
    appended.left_out += new.left_out
    is_adopted = bool(request.made_of)
    if not todo.replaced and not new.files and not is_adopted:
        return appended
    if grown is not None and all(file is not grown[0] for file in new.files):
        raise Refused(new.left_out[0])
    files = [each for file in (*todo.replaced.values(), *new.files) for each in file.files]
    checksum = last_updated(started, [file.source for file in files]) if files else started
    repository = with_new_containers(request, repository, files, appended)
    tip = session.snapshot_id
    session = repository.writable_session("main")
    if session.snapshot_id != tip:
        raise icechunk.ConflictError(tip, session.snapshot_id)
    if stand_in is not None:
        write_stand_in(session.store, held_metadata.metadata, stand_in, started)
    if grown is not None:
        metadata = without_last(session.store, held_metadata.metadata, grown[0], checksum)
    old = len(metadata["sources"])
    if todo.replaced:
        appended.references, metadata = replace_files(
            session.store, appended.repository, metadata, todo.replaced, checksum, request.access
        )
    if new.files:
        metadata = write_new(request, session.store, new, metadata, checksum, appended)
    if grown is not None:
        others = held_metadata.metadata["sources"][:-1]
        follow_files(session.store, metadata, new.files, others, request.access)
        appended.appended = [url for url in appended.appended if url not in appended.replaced]
    compare_with_sources(
        request, session.store, metadata, list(todo.replaced), old, held_metadata, appended
    )
    check_unchanged([file.source for file in files], request.patterns, request.access)
    if appended.containers:
        repository.save_config()
    # What the build counted is of the build.
    metadata = metadata.copy()
    metadata.pop("references", None)
    metadata.pop("bytes", None)
    write_ledger(session.store, metadata)
    counts = {
        "added": len(appended.appended),
        "replaced": len(appended.replaced),
        "renewed": len(appended.renewed),
    }
    message = request.message or _describe(appended)
    appended.snapshot = session.commit(message, metadata=commit_metadata("append", **counts))
    return appended


def _describe(appended: Appended) -> str:
    """The message of a commit."""
    parts = [
        f"{len(appended.appended)} more files" if appended.appended else "",
        f"{len(appended.replaced)} replaced" if appended.replaced else "",
        f"{len(appended.renewed)} renewed" if appended.renewed else "",
    ]
    return ", ".join(part for part in parts if part) or "taken over"
