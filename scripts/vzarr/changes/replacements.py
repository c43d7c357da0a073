"""Replace what a store holds of files that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from virtualizarr.manifests import ChunkManifest, ManifestArray

from vzarr.changes.rewriting import with_sources, write_part, write_values
from vzarr.combine.combine import with_record_dimension
from vzarr.combine.compatibility import Difference, compare_files
from vzarr.combine.fitting import fit_in_place
from vzarr.combine.groups import group_paths, part_of, stored_groups
from vzarr.combine.missing import with_missing
from vzarr.combine.mixed_array import copied_bytes
from vzarr.combine.plan import together
from vzarr.combine.scalars import along_records
from vzarr.combine.shared_attributes import follow_attributes
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata, span_of
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress
from vzarr.repository.history import commit_metadata, what_changed
from vzarr.repository.layouts import grown_numbers, layout_of, stored_layouts
from vzarr.repository.ledger import write_ledger
from vzarr.sources.content import fetch
from vzarr.sources.discover import Source, SourceRecord
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import copy_and_replace_metadata, manifest_chunk_shape
from vzarr.upstream.zarr import array_at
from vzarr.verification.open import open_store
from vzarr.verification.store import compare_store
from vzarr.virtualize.equality import same
from vzarr.virtualize.model import MEANING, ParsedFile, Unreadable, cf_encoding
from vzarr.virtualize.pool import parse_files

NOTHING_DONE = "Nothing was committed"


ADVICE = "Nothing was committed: put the old file back, or build a new repository"


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
) -> tuple[int, StoreMetadata]:
    """Write the new state of sources, by their number, over the old.

    Returns how many references were written, and the metadata with the new sources.

    Raises
    ------
    Refused
        If a file does not fit into the old one's place.
    """
    references = 0
    records = metadata["sources"]
    for file in new.values():
        if found := other_groups(file, location, metadata):
            raise Refused(str(found[0]))
    for group, kept in stored_groups(metadata).items():
        stored = stored_file(store, location, group, kept)
        parts = {number: stored_part(file, group, kept) for number, file in new.items()}
        if kept["concat_dim"] is not None:
            parts = _in_place(store, group, kept, parts, stored, access)
            metadata = _with_copies(metadata, group, list(parts.values()))
        for number, part in parts.items():
            _check_fits(stored, part, kept, number, access)
        for number, part in parts.items():
            references += write_part(store, part, kept, number, checksum)
        if len(new) == len(records):
            write_values(store, part, kept, None)
    others = [record for number, record in enumerate(records) if number not in new]
    follow_files(store, metadata, list(new.values()), others, access)
    return references, with_sources(metadata, {n: file.as_record() for n, file in new.items()})


def _in_place(
    store: icechunk.IcechunkStore,
    group: str,
    kept: GroupInStore,
    parts: dict[int, ParsedFile],
    stored: ParsedFile,
    access: Access,
) -> dict[int, ParsedFile]:
    """Files, by their number, in the form in which they take the place of old ones."""
    dimension = str(kept["concat_dim"])
    held = stored_layouts(store, group, kept)
    grown = {path.rpartition("/")[2] for path in grown_numbers(store, {group: kept})}
    fitted = {}
    for number, part in parts.items():
        (whole,) = with_missing([part], dimension, stored)
        if [*whole.lacks] != kept["sources"][number].get("lacks", []):
            whole = part  # it has other variables now: comparing says so
        scalars = along_records(whole, grown, dimension)
        start = span_of(kept, number).start
        fitted[number] = fit_in_place(scalars, held, dimension, start, access)
    return fitted


def _with_copies(metadata: StoreMetadata, group: str, parts: list[ParsedFile]) -> StoreMetadata:
    """The metadata with what is copied of files in the ways of their variables."""
    kept = metadata["groups"][group]
    ways = kept.get("ways", {})
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
        group: {**kept, "ways": together(ways, more)},
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
        parts = [part_of(file, group).dataset for file in files]
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


def stored_file(
    store: icechunk.IcechunkStore, location: str, group: str, metadata: GroupInStore
) -> ParsedFile:
    """One group of the store in the form of a parsed file, to compare new files with."""
    decoded = open_store(store, group)
    arrays = zarr.open_group(store, path=group, mode="r")
    variables = {}
    for name, variable in decoded.variables.items():
        values: Any = np.broadcast_to(np.empty((), variable.dtype), variable.shape)
        if name in metadata["virtual"]:
            dimension = metadata["concat_dim"]
            if dimension in variable.dims:
                layout = layout_of(array_at(arrays, str(name)), str(dimension))
                variables[str(name)] = xr.Variable(variable.dims, layout.as_array())
                continue
            array: Any = arrays[str(name)].metadata
            array = copy_and_replace_metadata(array, new_dimension_names=None, new_attributes={})
            chunks = zip(array.shape, manifest_chunk_shape(array), strict=True)
            grid = tuple(-(-size // chunk) for size, chunk in chunks)
            values = ManifestArray(array, ChunkManifest({}, shape=grid))
        variables[str(name)] = xr.Variable(variable.dims, values)
    return ParsedFile(
        Source(location, 0, datetime.now(UTC)),
        "",
        xr.Dataset(coords=xr.Coordinates({}, indexes={})).assign(variables),
        packing={str(name): cf_encoding(v) for name, v in decoded.variables.items()},
        group=group,
    )


def parsing_options(metadata: StoreMetadata) -> dict[str, Any]:
    """How ``parse_files`` has to look at a file so that it fits into the store."""
    groups = stored_groups(metadata)
    drop = {
        f"{group}/{name}".lstrip("/")
        for group, kept in groups.items()
        for name in kept["by_option"]
    }
    chosen = () if "" in groups else tuple(groups)
    if holds_all(metadata):
        drop |= {*metadata["plan"]["drop"]}
        chosen = tuple(metadata["plan"]["groups"])
    return {
        "drop": tuple(sorted(drop)),
        "record_dimension": metadata["concat_dim"],
        "groups": chosen,
    }


def holds_all(metadata: StoreMetadata) -> bool:
    """Whether the store holds whatever its files hold, but for what ``build`` was told."""
    groups = metadata["groups"].values()
    return "plan" in metadata and not any("without_source" in kept for kept in groups)


def other_groups(file: ParsedFile, location: str, metadata: StoreMetadata) -> list[Difference]:
    """Groups of a file that the store does not have: nothing would be said of their data."""
    more = sorted({*group_paths(file)} - {*metadata["groups"]}) if holds_all(metadata) else []
    url = file.source.url
    return [
        Difference(url, f"/{group}", "the group", "present", "absent", location, ADVICE)
        for group in more
    ]


def parse_replacements(
    sources: list[Source], metadata: StoreMetadata, access: Access, progress: Progress
) -> list[ParsedFile]:
    """Parse files that are to take old ones' places.

    Raises
    ------
    InputError
        For a file that cannot be parsed.
    """
    parsed = parse_files(sources, access, progress=progress("parsed"), **parsing_options(metadata))
    files: list[ParsedFile] = []
    for result in parsed:
        if isinstance(result, Unreadable):
            raise InputError(f"{result.reason} {NOTHING_DONE}.")
        files.append(result)
    return files


def stored_part(file: ParsedFile, group: str, metadata: GroupInStore) -> ParsedFile:
    """One group of a file, with the dimension that it has in the store.

    Raises
    ------
    Refused
        If the file has no such group.
    """
    if group and group not in file.children:
        raise Refused(f"{file.source.url}: has no group {group} any more. {ADVICE}.")
    part = part_of(file, group)
    dimension = metadata["concat_dim"]
    return part if dimension is None else with_record_dimension(part, dimension)


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
        found = [Difference(part.source.url, str(name), what, length, expected, stored.source.url)]
    else:
        expected_file = expected_in_store(stored, part, metadata)
        found = compare_files(expected_file, part, dimension or NO_DIMENSION, access)
        if dimension is None:
            found += _static_differences(expected_file, part)
    if found:
        more = f" ({len(found) - 1} more differences in this file.)" if len(found) > 1 else ""
        raise Refused(f"{replace(found[0], advice=ADVICE)}{more}")


def _with_own(stored: ParsedFile, record: SourceRecord) -> ParsedFile:
    """What is stored of a file beside others."""
    if "variables" not in record:
        return stored
    others = [name for name in stored.dataset.variables if name not in record["variables"]]
    return replace(stored, dataset=stored.dataset.drop_vars(others))


def expected_in_store(stored: ParsedFile, part: ParsedFile, metadata: GroupInStore) -> ParsedFile:
    """The stored group as ``compare_files`` wants it: what values decide is compared later."""
    numbers = {
        name: {key: value for key, value in packing.items() if key not in MEANING}
        | {key: value for key, value in held.items() if key in MEANING}
        for name, packing in part.packing.items()
        if name not in metadata["virtual"] and (held := stored.packing.get(name)) is not None
    }
    variables = {
        name: xr.Variable(variable.dims, np.broadcast_to(np.empty((), dtype), variable.shape))
        for name, variable in stored.dataset.variables.items()
        if name not in metadata["virtual"]
        and name in part.dataset.variables
        and (dtype := part.dataset[name].dtype)
    }
    return replace(
        stored,
        dataset=stored.dataset.assign(variables),
        packing={**stored.packing, **numbers},
        digests=part.digests,
    )


def _static_differences(stored: ParsedFile, part: ParsedFile) -> list[Difference]:
    """For a store of one file, where no dimension grows: all of it must keep its form."""
    found = []
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
        found += [
            Difference(part.source.url, name, what, value, expected, stored.source.url)
            for what, value, expected in pairs
            if not same(value, expected)
        ]
    return found


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
    found: Refreshed,
    access: Access,
    progress: Progress,
) -> list[tuple[int, str]]:
    """Sources that look unchanged, but hold other values than the store; each with the first."""
    records = metadata["sources"]
    numbers = [
        n
        for n, record in enumerate(records)
        if record["url"] not in {*found.changed, *found.vanished}
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
