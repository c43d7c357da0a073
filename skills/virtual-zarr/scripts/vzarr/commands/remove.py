"""Bad, withdrawn or outdated records out of a store: one verified commit, which log shows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import icechunk

from vzarr.changes.neighbours import as_they_were
from vzarr.changes.removal import Taken, take_out, touched_blocks
from vzarr.changes.removal_choice import Choice, choose_files, choose_index, choose_values
from vzarr.changes.replacements import OVERTAKEN
from vzarr.changes.stand_in import find_stand_in, leads_to_lost, write_stand_in
from vzarr.changes.stored_files import NOTHING_DONE
from vzarr.changes.taking_over import check_taken_out
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress, silent
from vzarr.repository.history import commit_metadata
from vzarr.repository.ledger import write_ledger
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_repository
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming, reaching
from vzarr.verification.open import spread
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store


@dataclass(frozen=True)
class Removed:
    """What ``remove`` did. ``snapshot`` is None where nothing was committed.

    ``files`` went as a whole; ``partly`` says of others how many of their records went.
    ``records`` that went and that are ``left``, by group (the root is "/"). ``is_gap``: they are in
    the axis still, and missing. ``absent`` files were removed before. ``before`` is the snapshot
    that main showed.
    """

    repository: str
    files: list[str] = field(default_factory=list)
    partly: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    is_gap: bool = False
    absent: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    before: str = ""
    snapshot: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def remove(
    location: str,
    access: Access,
    patterns: list[str],
    *,
    records: str | None = None,
    index: str | None = None,
    leave_gap: bool = False,
    dry_run: bool = False,
    message: str | None = None,
    progress: Progress = silent,
) -> Removed:
    """Take records out: those of files, or ``records`` by value or ``index``, as FIRST..LAST.

    The files need not be there. The axis is closed, or with ``leave_gap`` kept, with all data
    missing in it. An append leaves removed files out, unless it names nothing else. Tags and older
    snapshots show them as before.

    Raises
    ------
    InputError
        If nothing is named, or what is named is not in the repository.
    Refused
        If records begin or end inside a chunk, if nothing would be left, if nothing in a variable
        stands for a missing value, or another writer commits meanwhile.
    """
    if sum([bool(patterns), records is not None, index is not None]) != 1:
        raise InputError("Name what is to go: either files, or --records, or --index.")
    access = naming(access, patterns, location)
    with exclusive_lock(location):
        repository, seen, account = open_repository(location, access)
        access = reaching(access, repository.config, location)
        metadata = account.metadata
        check_taken_out(account, seen.store, access, progress)
        if metadata["concat_dim"] is None:
            raise InputError(
                f"{location}: has no record dimension, so nothing can be taken out of it."
            )
        choice = _choose(location, metadata, seen.store, patterns, records, index, leave_gap)
        result = Removed(
            as_url(location),
            is_gap=leave_gap,
            absent=list(choice.absent),
            notes=account.notes,
            before=seen.snapshot_id,
        )
        if not any(marks.any() for marks in choice.rows.values()):
            return result
        if not leave_gap and all(marks.all() for marks in choice.rows.values()):
            raise Refused(
                f"{location}: nothing would be left. {NOTHING_DONE}: delete the repository, or "
                "build another one."
            )
        session = repository.writable_session("main")
        if session.snapshot_id != seen.snapshot_id:
            raise Refused(OVERTAKEN)
        taken = take_out(session.store, location, metadata, choice.rows, leave_gap)
        notes = _lead_elsewhere(session.store, metadata, taken, access)
        result = _described(result, choice, taken, leave_gap, notes)
        if dry_run:
            return result
        _compare(session.store, metadata, taken, access, progress)
        write_ledger(session.store, _without_counts(taken.metadata))
        what = [*result.files, *result.partly]
        words = message or f"{len(what)} files removed" + (", a gap is left" if leave_gap else "")
        if result.partly and not message:
            words = f"records of {len(what)} files removed"
        about = commit_metadata("remove", removed=len(what))
        try:
            snapshot = session.commit(words, metadata=about)
        except icechunk.ConflictError as error:
            raise Refused(OVERTAKEN) from error
    return Removed(**{**vars(result), "snapshot": snapshot})


def _choose(
    location: str,
    metadata: StoreMetadata,
    store: icechunk.IcechunkStore,
    patterns: list[str],
    records: str | None,
    index: str | None,
    leave_gap: bool,
) -> Choice:
    if records is not None:
        return choose_values(records, store, location, metadata)
    if index is not None:
        return choose_index(index, location, metadata)
    return choose_files(patterns, location, metadata, leave_gap)


def _described(
    result: Removed, choice: Choice, taken: Taken, leave_gap: bool, notes: list[str]
) -> Removed:
    gone = {group or "/": int(marks.sum()) for group, marks in choice.rows.items()}
    totals = {group or "/": len(marks) for group, marks in choice.rows.items()}
    left = totals if leave_gap else {group: totals[group] - gone[group] for group in totals}
    files = [record["url"] for record in taken.out]
    more = {"files": files, "partly": taken.partly, "records": gone, "left": left}
    return Removed(**{**vars(result), **more, "notes": [*result.notes, *notes]})


def _lead_elsewhere(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, taken: Taken, access: Access
) -> list[str]:
    """Let what is stored once and lies in files that go be read from another file.

    Raises
    ------
    Refused
        If no other one is as it was.
    """
    lost = {record["url"] for record in taken.out}
    if not leads_to_lost(store, taken.metadata, lost):
        return []
    started = datetime.now(UTC)
    stand_in = find_stand_in(store, metadata, set(), access, lost)
    if stand_in is None:
        raise Refused(
            f"{min(lost)}: what is stored once lies in it, and no other source is there as it was, "
            f"to be read instead. {NOTHING_DONE}: see virtual_zarr.py refresh."
        )
    write_stand_in(store, metadata, stand_in, started)
    return [f"what is stored once is read from {stand_in.urls} from now on"]


def _compare(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    taken: Taken,
    access: Access,
    progress: Progress,
) -> None:
    """Compare the sources beside what went, the first and the last, as far as they are there.

    Raises
    ------
    Refused
        If the store does not read as they do.
    """
    records = taken.metadata["sources"]
    neighbours = touched_blocks(metadata, taken)
    picked = {*(neighbours[n] for n in spread(len(neighbours), 2 * DEFAULT_SAMPLE))}
    picked |= {0, len(records) - 1}
    numbers = as_they_were(picked, records, access)
    report = compare_store(
        store, taken.metadata, access, numbers=numbers, progress=progress("compared")
    )
    if not report.passed:
        raise Refused(
            f"The store would not read as its sources do: {report.failures[0]}. {NOTHING_DONE}."
        )


def _without_counts(metadata: StoreMetadata) -> StoreMetadata:
    """What the build counted is of the build."""
    metadata = metadata.copy()
    metadata.pop("references", None)
    metadata.pop("bytes", None)
    return metadata
