"""New files written behind the others, and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import icechunk
import zarr

from vzarr.changes.append_fitting import BUILD_ANEW, Fitting, policy_of
from vzarr.changes.append_request import AppendRequest
from vzarr.changes.append_sorting import Sorted
from vzarr.changes.as_recorded import as_recorded
from vzarr.changes.neighbours import as_they_were
from vzarr.changes.places import stored_places
from vzarr.changes.rewriting import with_containers, write_static
from vzarr.changes.stored_files import holds_all, lacks_group, stored_file, stored_part
from vzarr.combine.combine import Continued
from vzarr.combine.file_steps import is_gap
from vzarr.combine.groups import combine_groups, describe, raw_paths, stored_groups
from vzarr.combine.merge import are_columns, merge_columns, names_of, records_of
from vzarr.combine.rows import merge_rows
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata
from vzarr.errors import Refused
from vzarr.repository.append_datasets import append_datasets
from vzarr.repository.foreign_arrays import lengthen
from vzarr.repository.history import (
    Held,
    what_changed,
    with_more,
)
from vzarr.repository.layouts import all_layouts
from vzarr.sources.discover import SourceRecord, look_up
from vzarr.sources.schemes import Access
from vzarr.sources.trust import authorization
from vzarr.upstream.zarr import dimension_names
from vzarr.verification.open import spread
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store
from vzarr.virtualize.model import ParsedFile, group_paths

LOOK_BACK = 5
"""Old sources that are looked up to find one that is there, for the comparison."""


NAME_AGAIN = (
    "Nothing was committed: if they are right, name all files that it holds now with --source FILES"
)


@dataclass(frozen=True)
class Written:
    """Files that were written behind the others; all but ``metadata`` as in ``Appended``."""

    metadata: StoreMetadata
    urls: tuple[str, ...] = ()
    references: int = 0
    lengths: Mapping[str, int] = field(default_factory=dict)
    ways: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def write_new(
    request: AppendRequest,
    store: icechunk.IcechunkStore,
    fitting: Fitting,
    metadata: StoreMetadata,
    checksum: datetime,
    more_follow: bool = False,
) -> Written:
    """Write new files behind the others; returns what was written, and the metadata with it.

    ``more_follow``: they are moved in front of others then.
    """
    dimension = metadata["concat_dim"]
    datasets, order, differing = combine_groups(
        fitting.files,
        dimension,
        request.access,
        request.skip_bad,
        more_follow=more_follow,
        continued=Continued(
            policy_of(request, metadata),
            all_layouts(store, stored_groups(metadata)),
            fitting.grown,
            fitting.stored,
            fitting.once,
            raw_paths(metadata["groups"]),
        ),
    )
    groups = stored_groups(metadata)
    growing = [group for group in groups if groups[group]["concat_dim"] is not None]
    described = {group: describe(order, group, dimension) for group in groups}
    lengths = {group: each["lengths"] for group, each in described.items()}
    assert dimension is not None  # or nothing could follow
    references = append_datasets(
        store, datasets, growing, dimension, checksum, order, metadata["sources"]
    )
    for group in growing:
        lengthen(store, group, groups[group], sum(lengths[group]))
    ways = {
        f"{group}/{name}".lstrip("/"): way
        for group, each in described.items()
        for name, way in each.get("ways", {}).items()
    }
    records = [record for file in order for record in records_of(file, dimension)]
    return Written(
        metadata=with_more(metadata, records, described),
        urls=tuple(each.source.url for file in order for each in file.files),
        references=references,
        lengths={group or "/": sum(lengths[group]) for group in growing},
        ways=ways,
        left_out=tuple(map(str, differing)),
    )


def compare_with_sources(
    request: AppendRequest,
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    replaced: list[int],
    old: int,
    account: Held,
) -> list[str]:
    """Compare the store with its new files, and with the last old one that is still there.

    Where others have committed, with a sample of all old ones, as far as these are as they were.
    Returns a note for each old file that is not.

    Raises
    ------
    Refused
        If they differ.
    """
    records = metadata["sources"]
    total = len(records)
    picked = {*replaced, *(old + n for n in spread(total - old, DEFAULT_SAMPLE))}
    untouched = [number for number in range(old) if number not in replaced]
    unchanged, notes = _last_there(request, untouched, records)
    picked.update(unchanged)
    if account.others:
        some = [untouched[n] for n in spread(len(untouched), DEFAULT_SAMPLE)]
        picked.update(as_they_were(some, records, request.access))
    report = compare_store(
        store,
        metadata,
        request.access,
        numbers=sorted(number for number in picked if number < total),
        progress=request.progress("compared"),
    )
    if not report.passed:
        advice = f"{account.notes[0]}. {NAME_AGAIN}" if account.others else BUILD_ANEW
        raise Refused(
            f"The store would not read as its sources do: {report.failures[0]}. {advice}."
        )
    return notes


def _last_there(
    request: AppendRequest, numbers: list[int], records: list[SourceRecord]
) -> tuple[list[int], list[str]]:
    """The last source that is as it was when it was committed; a note for those after it."""
    notes: list[str] = []
    for number in numbers[: -LOOK_BACK - 1 : -1]:
        url = records[number]["url"]
        if is_gap(records[number]):
            continue
        try:
            what = what_changed(records[number], look_up(url, request.access))
        except FileNotFoundError:
            what = "is gone"
        if not what:
            return [number], notes
        notes.append(
            f"{url}: {what}: its values in the store cannot be read any more. See "
            "virtual_zarr.py refresh, and remove"
        )
    return [], notes


def with_new_containers(
    request: AppendRequest,
    repository: icechunk.Repository,
    files: list[ParsedFile],
) -> tuple[icechunk.Repository, list[str]]:
    """The repository with containers for new files, not saved yet; the prefixes of these."""
    prefixes = set(repository.config.virtual_chunk_containers or {})
    urls = [file.data_url for file in files]
    config = with_containers(
        repository.config, urls, request.access, request.patterns, request.prefixes
    )
    containers = sorted({*(config.virtual_chunk_containers or {})} - prefixes)
    keys = authorization(config, request.location, request.access, containers)
    return repository.reopen(config=config, authorize_virtual_chunk_access=keys), containers


def grown_last(todo: Sorted, metadata: StoreMetadata) -> ParsedFile | None:
    """The last file, where it has other records now than when it was written.

    Nothing follows it, so it can leave the store and come back as a new one.
    """
    last = len(metadata["sources"]) - 1
    file = todo.replaced.get(last)
    if file is None or {"variables", "within"} & {*metadata["sources"][last]}:
        return None  # others of its records lie beside it
    is_new = {*group_paths(file)} - {*metadata["groups"]}
    dimension = metadata["concat_dim"]
    file = as_recorded(file, metadata["sources"][last], dimension)
    if not (is_new and holds_all(metadata)) and all(
        stored_group["concat_dim"] is None
        or _length(file, group, stored_group) == stored_group["sources"][last]["length"]
        for group, stored_group in stored_groups(metadata).items()
    ):
        return None
    todo.replaced[last] = file
    return file


def _length(file: ParsedFile, group: str, stored_group: GroupInStore) -> int:
    """The records of a file in a group."""
    if lacks_group(file, group):
        return 0
    sizes = stored_part(file, group, stored_group).dataset.sizes
    return int(sizes.get(stored_group["concat_dim"], 1))


def without_last(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, file: ParsedFile, checksum: datetime
) -> StoreMetadata:
    """Take the records of the last source out of a store; returns the metadata without it.

    What is stored once and lies in it gets the places that it has in the ``file`` of today.
    """
    last = len(metadata["sources"]) - 1
    for group, stored_group in stored_groups(metadata).items():
        if not lacks_group(file, group):
            part = stored_part(file, group, stored_group)
            write_static(store, part, stored_group, last, checksum)
        if stored_group["concat_dim"] is None:
            continue
        length = sum(record["length"] for record in stored_group["sources"][:-1])
        for _, array in zarr.open_group(store, path=group, mode="r+").arrays():
            names = dimension_names(array)
            if stored_group["concat_dim"] in names:
                at = names.index(stored_group["concat_dim"])
                array.resize((*array.shape[:at], length, *array.shape[at + 1 :]))
    groups: dict[str, GroupRecord] = {
        path: {**stored_group, "lengths": stored_group["lengths"][:-1]}
        for path, stored_group in metadata["groups"].items()
    }
    return {**metadata, "sources": metadata["sources"][:-1], "groups": groups}


def side_by_side(
    files: list[ParsedFile], metadata: StoreMetadata, access: Access, store: icechunk.IcechunkStore
) -> list[ParsedFile]:
    """Files of the same records as one, where the store has such."""
    dimension, inner = metadata["concat_dim"], metadata.get("inner")
    if dimension is not None and inner is not None and files:
        stored = {
            group: stored_file(store, "", group, each)
            for group, each in stored_groups(metadata).items()
        }
        steps = stored_places(store, metadata, inner)
        merged, _ = merge_rows(files, dimension, inner, access, stored, steps)
        return merged
    if dimension is None or not any("variables" in record for record in metadata["sources"]):
        return files
    if are_columns(files):
        return merge_columns(files, dimension, may_lack=True)
    return [replace(file, own=tuple(sorted(names_of(file)))) for file in files]
