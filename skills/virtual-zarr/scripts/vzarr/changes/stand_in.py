"""What is stored once lies in one of the files: another stands in where that is gone or changed.

All files agreed in it when they were committed, so any that is still as it was then will do.
Without one, a first file that is withdrawn or issued again would keep every later file out.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import datetime

import icechunk
import zarr

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
"""Sources that are looked up at most to find one that is as it was, the last first."""


@dataclass(frozen=True)
class StandIn:
    """The file that takes the place of ``lost`` ones for variables, which are named by group."""

    file: ParsedFile
    names: dict[str, list[str]]
    lost: list[str]

    @property
    def notes(self) -> list[str]:
        """A sentence for each file that is gone or changed."""
        url = self.file.source.url
        return [
            f"{lost}: is gone or changed, its values cannot be read any more; what is stored once "
            f"is read from {url}. See virtual_zarr.py refresh"
            for lost in self.lost
        ]


def find_stand_in(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    replaced: set[str],
    access: Access,
    leaving: Set[str] = frozenset(),
) -> StandIn | None:
    """A source to lead to for what is stored once; None if nothing is lost, or no source is left.

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
    for record in metadata["sources"][: -LOOK_BACK - 1 : -1]:
        if record["url"] in {*lost, *replaced} or is_gap(record):
            continue
        if not _is_as_it_was(record, access):
            continue
        source = Source(
            record["url"],
            record["size"],
            datetime.fromisoformat(record["last_modified"]),
            record["etag"],
        )
        (parsed,) = parse_files([source], access, **parsing_options(metadata))
        if isinstance(parsed, ParsedFile) and not any(
            lacks_group(parsed, group) for group in names
        ):
            return StandIn(parsed, names, lost)
    return None


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
    """Let what is stored once lead to the file that stands in."""
    checksum = last_updated(started, [stand_in.file.source])
    groups = stored_groups(metadata)
    for group, names in stand_in.names.items():
        part = stored_part(stand_in.file, group, groups[group])
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
