"""What is stored once lies in one of the files: another stands in where that is gone or changed.

All files agreed in it when they were committed, so any that is still as it was then will do.
Without one, a first file that is withdrawn or issued again would keep every later file out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime

import icechunk
import zarr

from vzarr.changes.as_recorded import as_recorded
from vzarr.changes.rewriting import write_references
from vzarr.changes.stored_files import lacks_group, parsing_options, stored_part
from vzarr.combine.file_steps import is_gap
from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.repository.history import what_changed
from vzarr.repository.references import read_references
from vzarr.sources.discover import Source, SourceRecord, last_updated, look_up
from vzarr.sources.schemes import Access
from vzarr.upstream.zarr import array_at, dimension_names
from vzarr.virtualize.model import ParsedFile, is_virtual
from vzarr.virtualize.pool import parse_files

LOOK_BACK = 20
"""Sources of a product that are looked up at most to find one that is as it was."""


@dataclass(frozen=True)
class Part:
    """What one file stands in for: its variables, named by group."""

    file: ParsedFile
    names: dict[str, list[str]]


@dataclass(frozen=True)
class StandIn:
    """The files that take the place of ``lost`` ones: one, or one for each product of the store."""

    parts: list[Part]
    lost: list[str]

    @property
    def urls(self) -> str:
        """The files, for a sentence."""
        return " and ".join(part.file.source.url for part in self.parts)

    @property
    def notes(self) -> list[str]:
        """A sentence for each file that is gone or changed."""
        return [
            f"{lost}: is gone or changed, its values cannot be read any more; what is stored once "
            f"is read from {self.urls}. See virtual_zarr.py refresh"
            for lost in self.lost
        ]


def find_stand_in(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    replaced: set[str],
    access: Access,
    leaving: Set[str] = frozenset(),
) -> StandIn | None:
    """Sources to lead to for what is stored once; None if nothing is lost, or no source is left.

    What lies in the files of ``replaced`` is written anew in any case; those that are ``leaving``
    count as lost.
    """
    records = {record["url"]: record for record in metadata["sources"]}
    names: dict[str, list[str]] = {}
    changed: dict[str, bool] = {**dict.fromkeys(replaced, False), **dict.fromkeys(leaving, True)}
    for group, name in _stored_once(store, metadata):
        path = f"{group}/{name}".lstrip("/")
        urls = {url for batch in read_references(store, path) for url in batch.urls}
        for url in sorted(urls & records.keys() - changed.keys()):
            changed[url] = not _is_as_it_was(records[url], access)
        if any(changed.get(url) for url in urls):
            names.setdefault(group, []).append(name)
    if not names:
        return None
    lost = sorted(url for url, is_lost in changed.items() if is_lost)
    parts: list[Part] = []
    for record in _candidates(metadata, {*lost, *replaced}):
        if not _is_as_it_was(record, access):
            continue
        parsed = _parse(record, metadata, access)
        own = {} if parsed is None else _own_of(parsed, names, metadata)
        if parsed is None or not own:
            continue
        parts.append(Part(parsed, own))
        names = {
            group: rest
            for group, each in names.items()
            if (rest := [name for name in each if name not in own.get(group, ())])
        }
        if not names:
            return StandIn(parts, lost)
    return None


def _candidates(metadata: StoreMetadata, out: Set[str]) -> Iterator[SourceRecord]:
    """The last sources of each product, the last of all first."""
    looked_up: Counter[tuple[str, ...]] = Counter()
    for record in reversed(metadata["sources"]):
        product = tuple(record.get("variables", ()))
        looked_up[product] += 1
        if looked_up[product] <= LOOK_BACK and record["url"] not in out and not is_gap(record):
            yield record


def _parse(record: SourceRecord, metadata: StoreMetadata, access: Access) -> ParsedFile | None:
    """A source as it was committed; None if it cannot be parsed any more."""
    source = Source(
        record["url"],
        record["size"],
        datetime.fromisoformat(record["last_modified"]),
        record["etag"],
    )
    (parsed,) = parse_files([source], access, **parsing_options(metadata))
    if not isinstance(parsed, ParsedFile):
        return None
    return as_recorded(parsed, record, metadata["concat_dim"])


def _own_of(
    file: ParsedFile, names: Mapping[str, list[str]], metadata: StoreMetadata
) -> dict[str, list[str]]:
    """Those of the variables, named by group, that a file has."""
    groups = stored_groups(metadata)
    own = {}
    for group, each in names.items():
        if lacks_group(file, group):
            continue
        variables = stored_part(file, group, groups[group]).dataset.variables
        if there := [name for name in each if name in variables]:
            own[group] = there
    return own


def leads_to_lost(store: icechunk.IcechunkStore, metadata: StoreMetadata, lost: Set[str]) -> bool:
    """Whether what is stored once leads to one of the files."""
    return any(
        not lost.isdisjoint(batch.urls)
        for group, name in _stored_once(store, metadata)
        for batch in read_references(store, f"{group}/{name}".lstrip("/"))
    )


def write_stand_in(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, stand_in: StandIn, started: datetime
) -> None:
    """Let what is stored once lead to the files that stand in."""
    groups = stored_groups(metadata)
    for each in stand_in.parts:
        checksum = last_updated(started, [each.file.source])
        for group, names in each.names.items():
            part = stored_part(each.file, group, groups[group])
            for name in names:
                variable = part.dataset[name].variable
                if is_virtual(variable):
                    write_references(store, part, name, [0] * variable.ndim, checksum)


def _stored_once(
    store: icechunk.IcechunkStore, metadata: StoreMetadata
) -> Iterator[tuple[str, str]]:
    for group, stored_group in stored_groups(metadata).items():
        stored = zarr.open_group(store, path=group, mode="r")
        for name in stored_group["virtual"]:
            if stored_group["concat_dim"] not in dimension_names(array_at(stored, name)):
                yield group, name


def _is_as_it_was(record: SourceRecord, access: Access) -> bool:
    try:
        return not what_changed(record, look_up(record["url"], access))
    except FileNotFoundError:
        return False
