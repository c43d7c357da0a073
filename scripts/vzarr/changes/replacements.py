"""Replace what a store holds of files that changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import icechunk

from vzarr.changes.as_recorded import as_recorded
from vzarr.changes.places import cut_to_place
from vzarr.changes.rewriting import with_sources, write_part, write_values
from vzarr.changes.stored_files import (
    ADVICE,
    NOTHING_DONE,
    _with_own,
    expected_in_store,
    lacks_group,
    other_groups,
    stored_file,
    stored_part,
)
from vzarr.combine.compatibility import Difference, compare_files
from vzarr.combine.file_steps import is_gap, is_partial
from vzarr.combine.fitting import fit_in_place
from vzarr.combine.groups import stored_groups
from vzarr.combine.missing import with_missing
from vzarr.combine.mixed_array import copied_bytes
from vzarr.combine.plan import together
from vzarr.combine.raw_packing import with_raw
from vzarr.combine.rows import with_both
from vzarr.combine.scalars import along_records
from vzarr.combine.shared_attributes import follow_attributes
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata, span_of
from vzarr.errors import Refused
from vzarr.progress import Progress
from vzarr.repository.history import commit_metadata, what_changed
from vzarr.repository.layouts import grown_numbers, stored_layouts
from vzarr.repository.ledger import write_ledger
from vzarr.sources.content import fetch
from vzarr.sources.discover import Source, SourceRecord
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.verification.store import compare_store
from vzarr.virtualize.equality import same
from vzarr.virtualize.model import ParsedFile, part_of

OVERTAKEN = f"Another commit was made to main in the meantime. {NOTHING_DONE}: run it again."


NO_DIMENSION = "\0"
"""Stands for the dimension of a store of one file, in which nothing grows."""


@dataclass
class Refreshed:
    """What ``refresh`` found and did. ``snapshot`` is None where nothing was committed."""

    repository: str
    sources: int
    changed: dict[str, str] = field(default_factory=dict)
    vanished: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    references: int = 0
    snapshot: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def open_writable(repository: icechunk.Repository, seen: icechunk.Session) -> icechunk.Session:
    """A session that writes on the snapshot that was looked at.

    Raises
    ------
    Refused
        If main is another by now.
    """
    session = repository.writable_session("main")
    if session.snapshot_id != seen.snapshot_id:
        raise Refused(OVERTAKEN)
    return session


def replace_files(
    store: icechunk.IcechunkStore,
    location: str,
    metadata: StoreMetadata,
    new: dict[int, ParsedFile],
    checksum: datetime,
    access: Access,
    anew: Collection[int] = (),
) -> tuple[int, StoreMetadata]:
    """Write the new state of sources, by their number, over the old.

    Nothing is there yet of those that are ``anew``, so they may lack what they will.

    Returns how many references were written, and the metadata with the new sources.

    Raises
    ------
    Refused
        If a file does not fit into the old one's place.
    """
    references = 0
    lacked: dict[int, tuple[str, ...]] = {}
    records = metadata["sources"]
    dimension = metadata["concat_dim"]
    _check_may_be_replaced(new, location, metadata)
    new = {number: as_recorded(file, records[number], dimension) for number, file in new.items()}
    for group, stored_group in stored_groups(metadata).items():
        stored = stored_file(store, location, group, stored_group)
        parts = {
            number: _stored_part(file, group, stored_group, metadata)
            for number, file in new.items()
            if not _may_lack_group(file, group, stored_group, number, anew)
        }
        if not parts:
            continue
        if stored_group["concat_dim"] is not None:
            parts = _in_place(store, group, stored_group, parts, stored, access, anew)
            for number, part in parts.items():
                prefix = f"{group}/" if group else ""
                lacked[number] = (*lacked.get(number, ()), *(prefix + n for n in part.lacks))
            metadata = _with_copies(metadata, group, list(parts.values()))
        for number, part in parts.items():
            model = cut_to_place(stored, stored_group["sources"][number])
            _check_fits(model, part, stored_group, number, access)
        for number, part in parts.items():
            references += write_part(store, part, stored_group, number, checksum)
        if len(new) == len(records) and "inner" not in metadata:
            write_values(store, part, stored_group, None)
    others = [record for number, record in enumerate(records) if number not in new]
    follow_files(store, metadata, list(new.values()), others, access)
    records_of_new: dict[int, SourceRecord] = {}
    for number, file in new.items():
        lacks = lacked.get(number, ())
        more: Any = {"lacks": list(lacks)} if lacks else {}
        records_of_new[number] = {**file.as_record(), **more}
    return references, with_sources(metadata, records_of_new)


def _check_may_be_replaced(
    new: dict[int, ParsedFile], location: str, metadata: StoreMetadata
) -> None:
    """Refuse sources of which only a part is in, and files with other groups."""
    records = metadata["sources"]
    for number, file in new.items():
        if is_partial(records[number]):
            raise Refused(
                f"{records[number]['url']}: some of its records were removed, so its new state has "
                "no place: remove the whole file, and append it again with --insert. "
                f"{NOTHING_DONE}."
            )
        if problem := other_groups(file, location, metadata):
            raise Refused(str(problem[0]))


def _stored_part(
    file: ParsedFile, group: str, stored_group: GroupInStore, metadata: StoreMetadata
) -> ParsedFile:
    """One group of a file, with both dimensions where the store has two."""
    dimension, inner = metadata["concat_dim"], metadata.get("inner")
    if dimension is not None and inner is not None:
        file = with_both(file, dimension, inner)
    return stored_part(file, group, stored_group)


def _may_lack_group(
    file: ParsedFile, group: str, stored_group: GroupInStore, number: int, anew: Collection[int]
) -> bool:
    """Whether a file has not got a group, as the one before it, or at a place that is empty."""
    if not lacks_group(file, group):
        return False
    record = stored_group["sources"][number]
    if "within" not in record:
        return not stored_group["lengths"][number]
    return number in anew or any(name.startswith(f"{group}/") for name in record.get("lacks", ()))


def _in_place(
    store: icechunk.IcechunkStore,
    group: str,
    stored_group: GroupInStore,
    parts: dict[int, ParsedFile],
    stored: ParsedFile,
    access: Access,
    anew: Collection[int],
) -> dict[int, ParsedFile]:
    """Files, by their number, in the form in which they take the place of old ones."""
    dimension = str(stored_group["concat_dim"])
    layouts = stored_layouts(store, group, stored_group)
    grown = {path.rpartition("/")[2] for path in grown_numbers(store, {group: stored_group})}
    fitted = {}
    for number, part in parts.items():
        part = with_raw(part, stored_group.get("raw", ()), dimension)
        model = cut_to_place(stored, stored_group["sources"][number])
        (whole,) = with_missing([part], dimension, model)
        prefix = f"{group}/" if group else ""
        lacks = {*stored_group["sources"][number].get("lacks", ())}
        if number not in anew and not {f"{prefix}{name}" for name in whole.lacks} <= lacks:
            whole = part  # it has less variables now: comparing says so
        scalars = along_records(whole, grown, dimension)
        start = span_of(stored_group, number).start
        fitted[number] = fit_in_place(scalars, layouts, dimension, start, access)
    return fitted


def _with_copies(metadata: StoreMetadata, group: str, parts: list[ParsedFile]) -> StoreMetadata:
    """The metadata with what is copied of files in the ways of their variables."""
    stored_group = metadata["groups"][group]
    ways = stored_group.get("ways", {})
    more = {
        name: {
            **ways.get(name, {"kind": "copy", "why": "chunks of files that were written again"}),
            "virtual": 0,
            "native": copied,
        }
        for name in parts[0].virtual
        if (copied := sum(copied_bytes(part.dataset[name].variable.data) for part in parts))
    }
    if not more:
        return metadata
    groups: dict[str, GroupRecord] = {
        **metadata["groups"],
        group: {**stored_group, "ways": together(ways, more)},
    }
    return {**metadata, "groups": groups}


def follow_files(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    files: list[ParsedFile],
    others: Sequence[SourceRecord],
    access: Access,
) -> None:
    """Let attributes follow ``files`` that took the place of old ones, beside ``others``."""
    for group in sorted({"", *metadata["groups"]}):
        parts = [part_of(file, group).dataset for file in files if not lacks_group(file, group)]
        if not parts:
            continue
        follow_attributes(store, group, parts, others, access)


def other_content(record: SourceRecord, access: Access) -> str:
    """Why a file at the new place is not that of its record, or an empty string."""
    expected = record.get("fingerprint")
    if expected is None:
        return ""
    if fingerprint(fetch(record["url"], access, record["size"]), record["size"]) == expected:
        return ""
    return (
        f"{record['url']}: holds other bytes than the file at the old place did: copy it again, or "
        "put the old one back and refresh before it moves."
    )


def _check_fits(
    stored: ParsedFile, part: ParsedFile, metadata: GroupInStore, number: int, access: Access
) -> None:
    """What ``build`` asks of files that share arrays, asked of one file and the store."""
    dimension = metadata["concat_dim"]
    length = part.dataset.sizes.get(dimension, 1)
    span = span_of(metadata, number)
    expected = span.stop - span.start
    stored = _with_own(stored, metadata["sources"][number])
    if length != expected:
        what = f"the length of {dimension}"
        name = dimension if dimension in part.dataset.variables else (part.virtual or [""])[0]
        differences = [
            Difference(part.source.url, str(name), what, length, expected, stored.source.url)
        ]
    else:
        expected_file = expected_in_store(stored, part, metadata)
        differences = compare_files(expected_file, part, dimension or NO_DIMENSION, access)
        if dimension is None:
            differences += _static_differences(expected_file, part)
    if differences:
        more = (
            f" ({len(differences) - 1} more differences in this file.)"
            if len(differences) > 1
            else ""
        )
        raise Refused(f"{replace(differences[0], advice=ADVICE)}{more}")


def _static_differences(stored: ParsedFile, part: ParsedFile) -> list[Difference]:
    """For a store of one file, where no dimension grows: all of it must keep its form."""
    differences = []
    for name in part.virtual:
        if name not in stored.virtual:
            continue
        mine, theirs = part.dataset[name].variable.data, stored.dataset[name].variable.data
        pairs: list[tuple[str, Any, Any]] = [
            ("the dtype", str(mine.dtype), str(theirs.dtype)),
            ("the list of codecs", list(mine.metadata.codecs), list(theirs.metadata.codecs)),
            (
                "the chunk shape",
                manifest_chunk_shape(mine.metadata),
                manifest_chunk_shape(theirs.metadata),
            ),
        ]
        keys = sorted({*part.packing.get(name, {}), *stored.packing.get(name, {})})
        packing = (part.packing.get(name, {}), stored.packing.get(name, {}))
        pairs += [(key, packing[0].get(key), packing[1].get(key)) for key in keys]
        differences += [
            Difference(part.source.url, name, what, value, expected, stored.source.url)
            for what, value, expected in pairs
            if not same(value, expected)
        ]
    return differences


def problem_there(
    url: str, now: Source | Exception, record: SourceRecord | None, end: int | None
) -> str:
    """Why a file at the new place cannot take the old one's, or an empty string."""
    if isinstance(now, Exception):
        return f"{url}: is not there ({type(now).__name__}): copy it, or correct --to."
    if record is not None and now.size != record["size"]:
        return (
            f"{url}: has {now.size} bytes, the file at the old place had {record['size']}: copy it "
            "again, or build anew."
        )
    if end is not None and now.size < end:
        return f"{url}: has {now.size} bytes, but references need {end}: copy it again."
    return ""


def is_unchanged(now: Source | Exception, record: SourceRecord) -> bool:
    """Whether a source is there as its record says."""
    return isinstance(now, Source) and not what_changed(record, now)


def differing_files(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    refreshed: Refreshed,
    access: Access,
    progress: Progress,
) -> list[tuple[int, str]]:
    """Sources that look unchanged, but hold other values than the store; each with the first."""
    records = metadata["sources"]
    numbers = [
        n
        for n, record in enumerate(records)
        if record["url"] not in {*refreshed.changed, *refreshed.vanished} and not is_gap(record)
    ]
    report = compare_store(store, metadata, access, numbers=numbers, progress=progress("compared"))
    differing = []
    for number in numbers:
        url = records[number]["url"]
        about = [failure for failure in report.failures if failure.url == url]
        if about:
            differing.append((number, str(replace(about[0], url=""))))
    return differing


def compare_replacements(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    access: Access,
    numbers: list[int],
    progress: Callable[[int, int], None],
) -> None:
    """Compare files with the store before it is committed.

    Raises
    ------
    Refused
        If it does not read as they do.
    """
    report = compare_store(store, metadata, access, numbers=numbers, progress=progress)
    if not report.passed:
        raise Refused(
            f"The store would not read as its sources do: {report.failures[0]}. {NOTHING_DONE}."
        )


def commit_replacements(
    session: icechunk.Session, message: str, metadata: StoreMetadata, changed: list[int]
) -> str:
    """Commit sources that were replaced; return the snapshot.

    Raises
    ------
    Refused
        If somebody else has committed meanwhile.
    """
    write_ledger(session.store, metadata)
    try:
        return session.commit(message, metadata=commit_metadata("refresh", replaced=len(changed)))
    except icechunk.ConflictError as error:
        raise Refused(OVERTAKEN) from error
