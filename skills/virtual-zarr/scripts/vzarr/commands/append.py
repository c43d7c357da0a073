"""New files behind the last one of a repository: idempotent, in order, one commit a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import icechunk

from vzarr.changes.append_fitting import find_fitting
from vzarr.changes.append_held import read_held_files
from vzarr.changes.append_kinds import sources_by_kind
from vzarr.changes.append_overlap import taken_back, without_repeated
from vzarr.changes.append_request import Appended, AppendRequest
from vzarr.changes.append_sorting import find_wanted, parse_wanted, sort_out
from vzarr.changes.append_writing import (
    Written,
    compare_with_sources,
    grown_last,
    side_by_side,
    with_new_containers,
    without_last,
    write_new,
)
from vzarr.changes.attempts import attempt, session_at
from vzarr.changes.beginning import begin_new
from vzarr.changes.columns import with_columns
from vzarr.changes.dropping import begun, check_dropped
from vzarr.changes.insertion import Late, insert_files, part_late
from vzarr.changes.neighbours import sample_of
from vzarr.changes.places import split_placed
from vzarr.changes.replacements import follow_files, replace_files
from vzarr.changes.stand_in import find_stand_in, write_stand_in
from vzarr.changes.widening import is_moved, widened
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import Refused
from vzarr.progress import Progress, silent
from vzarr.repository.handle import save_config
from vzarr.repository.history import (
    check_unchanged,
    commit_metadata,
)
from vzarr.repository.ledger import write_ledger
from vzarr.repository.open import open_any_repository
from vzarr.sources.discover import Source, find_sources, last_updated
from vzarr.sources.prefixes import as_prefix
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming, reaching
from vzarr.verification.store import DEFAULT_SAMPLE
from vzarr.virtualize.model import ParsedFile


def append(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    replace_known: bool = False,
    insert: bool = True,
    skip_bad: bool = False,
    made_of: tuple[str, ...] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    irregular: str | None = None,
    overlap: str | None = None,
    coord_table: str | None = None,
    drop: tuple[str, ...] = (),
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Appended:
    """Append those files that the repository does not hold yet, in the order of their records.

    A file counts as held by its URL, size and time of change, or by its content under any name. One
    that was written again with the same content gets a new checksum. ``replace_known`` writes a
    file that changed since, or that has the records of one that is there, over the old one; a file
    whose place was taken never comes back by itself. A file that belongs in front of others is
    late: it is put there, in a commit of its own, or without ``insert`` left out; it keeps no other
    file out.
    ``drop`` leaves out variables that files have and the repository has not; others begin with
    them.
    ``made_of`` names the files of a repository that this tool did not build: it is taken over if it
    reads as they do. ``prefixes`` as in ``build``, and ``irregular``; else what ``build`` was told
    holds. Safe to run twice, also at the same time.

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
        insert=insert,
        drop=tuple(name.strip("/") for name in drop),
    )
    done = Appended(as_url(location))

    def change(repository: icechunk.Repository) -> Appended:
        nonlocal done
        by_kind, without = sources_by_kind(request, repository, sources)
        for kind, each in by_kind.items():
            own = replace(request, kind=kind)
            try:
                more, late = _append_once(own, repository, each)
            except Refused as error:
                if done.snapshot is None:
                    raise
                raise Refused(
                    f"{error} That is of these files; others were committed before them in this "
                    f"run: snapshot {done.snapshot}."
                ) from error
            done = done.then(more)
            done = done.then(_take_late(own, repository, late, done))
        return replace(done, left_out=[*done.left_out, *without])

    return attempt(change, repository, location, access)


def _take_late(
    request: AppendRequest, repository: icechunk.Repository, late: Late, done: Appended
) -> Appended:
    """Insert late files, or say of each that it was not.

    Raises
    ------
    Refused
        For the first, if the run did nothing else, unless such may be left out.
    """
    if request.insert and late.files:
        result = insert_files(request, repository, late.files)
    else:
        result = Appended(done.repository, late=list(late.sentences))
    if not result.late or done.snapshot or result.snapshot:
        return result
    if not request.skip_bad:
        raise Refused(f"{result.late[0]} Nothing was committed.")
    return replace(result, late=[], left_out=result.late)


def _append_once(
    request: AppendRequest, repository: icechunk.Repository, sources: list[Source]
) -> tuple[Appended, Late]:
    """One attempt, which fails where somebody else commits meanwhile; and files that are late."""
    location = as_url(request.location)
    started = datetime.now(UTC)
    session = repository.writable_session("main")
    account, request = read_held_files(request, repository, session)
    metadata = account.metadata
    wanted = find_wanted(sources, metadata)
    parsed, empty = parse_wanted(request, wanted.sources, metadata)
    check_dropped(request.drop, parsed, metadata, request.access)
    todo = sort_out(request, parsed, session, metadata)
    placed, fresh = split_placed(session.store, todo.new, metadata)
    placed += todo.columns
    todo.new, late = part_late(fresh, session.store, metadata, location)
    wider = [*placed, *todo.new]
    metadata, more_places = widened(session.store, location, metadata, wider)
    grown = grown_last(todo, metadata) or taken_back(request, todo, session.store, metadata)
    over = {number: file for number, file in todo.replaced.items() if file is not grown}
    rewritten = {file.source.url for file in todo.replaced.values()}
    stand_in = find_stand_in(session.store, metadata, rewritten, request.access)
    if stand_in is not None:
        write_stand_in(session.store, metadata, stand_in, started)
    if grown is not None:
        metadata = without_last(session.store, metadata, grown, started)
    more = [*([grown] if grown else ()), *todo.new]
    more = side_by_side(more, metadata, request.access, session.store)
    more = without_repeated(request, more, session.store, metadata)
    with_new = begin_new(session.store, location, more, metadata, started)
    new = find_fitting(request, more, session.store, with_new)
    result = Appended(
        location,
        known={**wanted.known, **todo.known},
        superseded={**wanted.superseded, **todo.superseded},
        removed=wanted.removed,
        left_out=[*empty, *todo.left_out, *new.left_out],
        notes=[*account.notes, *more_places, *(stand_in.notes if stand_in else ())],
    )
    if not (over or placed or new.files or request.made_of):
        return result, late
    if grown is not None and all(file.source.url != grown.source.url for file in new.files):
        raise Refused(new.left_out[0])
    files = [each for file in (*over.values(), *placed, *new.files) for each in file.files]
    checksum = last_updated(started, [file.source for file in files]) if files else started
    repository, containers = with_new_containers(request, repository, files)
    session = session_at(repository, session.snapshot_id)
    if stand_in is not None:
        write_stand_in(session.store, account.metadata, stand_in, started)
    widest, _ = widened(session.store, location, account.metadata, wider)
    metadata = widest
    if grown is not None:
        metadata = without_last(session.store, metadata, grown, checksum)
    metadata = begin_new(session.store, location, new.files, metadata, checksum)
    references, metadata, touched = _write_over(
        request, session, metadata, over, placed, checksum, account.metadata
    )
    old = len(metadata["sources"])
    written = Written(metadata)
    if new.files:
        written = write_new(request, session.store, new, metadata, checksum)
    metadata = written.metadata
    if grown is not None:
        others = account.metadata["sources"][:-1]
        follow_files(session.store, metadata, new.files, others, request.access)
    if is_moved(account.metadata, widest):
        touched += sample_of(metadata["sources"], DEFAULT_SAMPLE, request.access)
    missing = compare_with_sources(request, session.store, metadata, touched, old, account)
    check_unchanged([file.source for file in files], request.patterns, request.access)
    if containers:
        save_config(repository, location, request.access)
    steps = {*written.lengths.values()} or {0}
    result = replace(
        result,
        appended=[
            *(file.source.url for file in placed),
            *(url for url in written.urls if url not in todo.with_new_content),
        ],
        replaced=todo.with_new_content,
        renewed=todo.renewed,
        left_out=[*result.left_out, *written.left_out],
        notes=[*result.notes, *missing],
        references=references + written.references,
        length=steps.pop() if len(steps) == 1 else None,
        lengths=dict(written.lengths),
        containers=containers,
        ways=dict(written.ways),
        began=begun(account.metadata, metadata),
    )
    return replace(result, snapshot=_commit(request, session, metadata, result)), late


def _write_over(
    request: AppendRequest,
    session: icechunk.Session,
    metadata: StoreMetadata,
    over: dict[int, ParsedFile],
    placed: list[ParsedFile],
    checksum: datetime,
    before: StoreMetadata,
) -> tuple[int, StoreMetadata, list[int]]:
    """Write files ``over`` sources, by number, and those ``placed`` where nothing is yet.

    ``before``: the metadata without what new files begin. Returns how many references, the metadata
    with the files, and their numbers there.
    """
    location = as_url(request.location)
    metadata, added, numbers = with_columns(
        session.store, location, metadata, placed, before, request.access
    )
    files = {**{numbers[number]: file for number, file in over.items()}, **added}
    if not files:
        return 0, metadata, []
    references, metadata = replace_files(
        session.store, location, metadata, files, checksum, request.access, anew=[*added]
    )
    return references, metadata, [*files]


def _commit(
    request: AppendRequest, session: icechunk.Session, metadata: StoreMetadata, done: Appended
) -> str:
    """Write the ledger and commit; returns the snapshot."""
    metadata = metadata.copy()
    # What the build counted is of the build.
    metadata.pop("references", None)
    metadata.pop("bytes", None)
    write_ledger(session.store, metadata)
    counts = {
        "added": len(done.appended),
        "replaced": len(done.replaced),
        "renewed": len(done.renewed),
    }
    message = request.message or _describe(done)
    return session.commit(message, metadata=commit_metadata("append", **counts))


def _describe(appended: Appended) -> str:
    """The message of a commit."""
    parts = [
        f"{len(appended.appended)} more files" if appended.appended else "",
        f"{len(appended.replaced)} replaced" if appended.replaced else "",
        f"{len(appended.renewed)} renewed" if appended.renewed else "",
    ]
    return ", ".join(part for part in parts if part) or "taken over"
