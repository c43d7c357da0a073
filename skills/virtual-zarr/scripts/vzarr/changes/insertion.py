"""Files that arrive late: written behind the others, then moved to where they belong.

What appends are proven in holds for them: they are fitted, written and compared by the same code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import icechunk

from vzarr.changes.append_fitting import BUILD_ANEW, Fitting, find_fitting
from vzarr.changes.append_held import read_held_files
from vzarr.changes.append_request import Appended, AppendRequest
from vzarr.changes.append_writing import side_by_side, with_new_containers, write_new
from vzarr.changes.arrangement import arrange_sources
from vzarr.changes.attempts import session_at
from vzarr.changes.insertion_place import (
    blocks_of,
    is_late,
    order_by_records,
    place_problem,
    stored_records,
    why_late,
)
from vzarr.changes.neighbours import as_they_were
from vzarr.changes.stand_in import find_stand_in, write_stand_in
from vzarr.changes.stored_files import parsing_options
from vzarr.combine.file_steps import is_gap, is_partial
from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.repository.handle import save_config
from vzarr.repository.history import Held, check_unchanged, commit_metadata, what_changed
from vzarr.repository.layouts import stored_layouts
from vzarr.repository.ledger import write_ledger
from vzarr.repository.rearranging import CutChunkError
from vzarr.sources.discover import Source, SourceRecord, last_updated, look_up
from vzarr.sources.schemes import as_url
from vzarr.verification.open import spread
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store
from vzarr.virtualize.model import ParsedFile
from vzarr.virtualize.pool import parse_files

NOTHING = "Nothing was committed: "
AROUND = 10
"""Old sources beside inserted ones that are compared at most."""


@dataclass(frozen=True)
class Late:
    """Parsed files that are not later than all that is stored, and a sentence for each."""

    files: tuple[ParsedFile, ...] = ()
    sentences: tuple[str, ...] = ()


def part_late(
    files: Sequence[ParsedFile],
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    location: str,
) -> tuple[list[ParsedFile], Late]:
    """The files that can follow what is stored, and those that are late."""
    if not files:
        return [], Late()
    records = stored_records(store, metadata)
    late = [file for file in files if is_late(file, records)]
    sentences = [why_late(file, records, location) for file in late]
    following = [file for file in files if all(file is not each for each in late)]
    return following, Late(tuple(late), tuple(sentences))


def insert_files(
    request: AppendRequest, repository: icechunk.Repository, late: Sequence[ParsedFile]
) -> Appended:
    """Put late files where they belong, in one commit; a sentence for each that cannot be.

    Raises
    ------
    icechunk.ConflictError
        If somebody else commits meanwhile.
    """
    started = datetime.now(UTC)
    session = repository.writable_session("main")
    account, request = read_held_files(replace(request, made_of=()), repository, session)
    metadata = account.metadata
    placed, refused = _with_place(late, session.store, metadata)
    stand_in = find_stand_in(session.store, metadata, set(), request.access)
    if stand_in is not None:
        write_stand_in(session.store, metadata, stand_in, started)
    try:
        last = _last_that_moves(request, session.store, metadata) if placed else []
    except Refused as problem:
        placed, last, refused = [], [], [*refused, *(str(problem) for _ in placed)]
    rest = _without_last(session.store, metadata, last)
    fitting, problems = _find_fitting(request, placed, last, session.store, rest)
    refused += problems
    result = Appended(as_url(request.location), late=refused, notes=account.notes)
    if fitting is None:
        return result
    files = [each for file in fitting.files for each in file.files]
    checksum = last_updated(started, [file.source for file in files])
    repository, containers = with_new_containers(request, repository, files)
    session = session_at(repository, session.snapshot_id)
    if stand_in is not None:
        write_stand_in(session.store, metadata, stand_in, started)
    rest = _without_last(session.store, metadata, last)
    written = write_new(request, session.store, fitting, rest, checksum, more_follow=not last)
    moved = _moved_into_place(session.store, written.metadata)
    urls = {file.source.url for file in last}
    inserted = [url for url in written.urls if url not in urls]
    _compare(request, session.store, moved, inserted, account)
    check_unchanged(
        [file.source for file in files if file.source.url not in urls],
        request.patterns,
        request.access,
    )
    if containers:
        save_config(repository, request.location, request.access)
    moved = moved.copy()
    moved.pop("references", None)
    moved.pop("bytes", None)
    write_ledger(session.store, moved)
    message = request.message or f"{len(inserted)} late files"
    snapshot = session.commit(message, metadata=commit_metadata("append", added=len(inserted)))
    return replace(
        result,
        inserted=inserted,
        late=[*refused, *written.left_out],
        notes=[*account.notes, *(stand_in.notes if stand_in else ())],
        references=written.references,
        lengths=dict(written.lengths),
        containers=containers,
        ways=dict(written.ways),
        snapshot=snapshot,
    )


def _with_place(
    late: Sequence[ParsedFile], store: icechunk.IcechunkStore, metadata: StoreMetadata
) -> tuple[list[ParsedFile], list[str]]:
    """Those files that have a place between others, and the sentences for the rest."""
    records = stored_records(store, metadata)
    placed, refused = [], []
    for file in late:
        if problem := place_problem(file, records):
            refused.append(f"{file.source.url}: cannot be inserted. {problem}")
        else:
            placed.append(file)
    return placed, refused


def _last_that_moves(
    request: AppendRequest, store: icechunk.IcechunkStore, metadata: StoreMetadata
) -> list[ParsedFile]:
    """The files of the last records, if these end in a part of a chunk: nothing can follow that.

    They are taken out, and written again behind those that are inserted.

    Raises
    ------
    Refused
        If one is not as it was when it was committed.
    """
    layouts = [
        layout
        for group, stored_group in stored_groups(metadata).items()
        for layout in stored_layouts(store, group, stored_group).values()
    ]
    if not any(
        each.edges is None and not each.is_copy and each.rows % each.chunk for each in layouts
    ):
        return []
    records = [metadata["sources"][number] for number in blocks_of(metadata["sources"])[-1]]
    sources = [_as_it_was(record, request) for record in records]
    results = parse_files(sources, request.access, **parsing_options(metadata))
    files = [file for file in results if isinstance(file, ParsedFile)]
    if len(files) < len(results):
        raise Refused(
            f"{records[0]['url']}: cannot be read any more, and it ends in part of a chunk"
        )
    return files


def _as_it_was(record: SourceRecord, request: AppendRequest) -> Source:
    try:
        now = look_up(record["url"], request.access)
        what = "was removed" if is_gap(record) or is_partial(record) else what_changed(record, now)
    except FileNotFoundError:
        what = "is gone"
    if what:
        raise Refused(
            f"{record['url']}: {what}, and it ends in a part of a chunk, so it has to be written "
            "again behind what is inserted: take its new state with append --replace, or remove "
            "it, and insert then."
        )
    return now


def _without_last(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, last: Sequence[ParsedFile]
) -> StoreMetadata:
    """The store without the files of its last records; returns the metadata of the others."""
    if not last:
        return metadata
    return arrange_sources(store, metadata, range(len(metadata["sources"]) - len(last)))


def _find_fitting(
    request: AppendRequest,
    placed: Sequence[ParsedFile],
    last: Sequence[ParsedFile],
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
) -> tuple[Fitting | None, list[str]]:
    """How late files fit, with those of the last records behind them; a sentence for the rest.

    One that does not fit keeps no other one out.
    """

    def fitting_of(files: Sequence[ParsedFile]) -> Fitting:
        merged = side_by_side([*files, *last], metadata, request.access, store)
        strict = replace(request, skip_bad=False)
        return find_fitting(strict, merged, store, metadata, late=True, more_follow=not last)

    problems: list[str] = []
    files = list(placed)
    while files:
        try:
            return fitting_of(files), problems
        except (Refused, InputError) as error:
            if len(files) == 1:
                return None, [*problems, _left_out(error)]
        fit = []
        for file in files:
            try:
                fitting_of([file])
                fit.append(file)
            except (Refused, InputError) as error:
                problems.append(_left_out(error))
        if len(fit) == len(files):  # each fits, all together do not: the first ones do
            fit.pop()
            problems.append(f"{files[-1].source.url}: does not fit beside the other late files.")
        files = fit
    return None, problems


def _left_out(error: Exception) -> str:
    return str(error).replace(NOTHING, "It was left out: ").removesuffix(" Nothing was committed.")


def _moved_into_place(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> StoreMetadata:
    """The store with its sources in the order of their records.

    Raises
    ------
    Refused
        If chunks do not allow it.
    """
    order = order_by_records(stored_records(store, metadata), metadata)
    try:
        return arrange_sources(store, metadata, order)
    except CutChunkError as error:
        raise Refused(
            f"{error.path}: a late file would begin at row {error.row}, inside a chunk. "
            f"{BUILD_ANEW}."
        ) from error


def _compare(
    request: AppendRequest,
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    inserted: Sequence[str],
    account: Held,
) -> None:
    """Compare inserted files, those beside them, and the first and last of all, with the store.

    Raises
    ------
    Refused
        If they differ.
    """
    records = metadata["sources"]
    new = [number for number, record in enumerate(records) if record["url"] in {*inserted}]
    picked = {new[n] for n in spread(len(new), DEFAULT_SAMPLE)}
    neighbours = {*(n - 1 for n in picked), *(n + 1 for n in picked), 0, len(records) - 1}
    if account.others:
        neighbours |= set(spread(len(records), DEFAULT_SAMPLE))
    old = sorted(number for number in neighbours - {*new} if 0 <= number < len(records))[:AROUND]
    picked |= {*as_they_were(old, records, request.access)}
    report = compare_store(
        store,
        metadata,
        request.access,
        numbers=sorted(picked),
        progress=request.progress("compared"),
    )
    if not report.passed:
        raise Refused(
            f"The store would not read as its sources do: {report.failures[0]}. {BUILD_ANEW}."
        )
