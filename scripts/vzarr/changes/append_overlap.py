"""New files that repeat the last steps of what is stored, where the user chose whose stay."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import icechunk

from vzarr.changes.append_fitting import policy_of
from vzarr.changes.append_request import AppendRequest
from vzarr.changes.append_sorting import Sorted
from vzarr.changes.as_recorded import as_recorded
from vzarr.changes.stored_files import parsing_options
from vzarr.combine.groups import stored_groups
from vzarr.combine.overlap import index_of, repeated_steps, trim_files
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError
from vzarr.repository.history import what_changed
from vzarr.sources.discover import Source, look_up
from vzarr.verification.open import open_store
from vzarr.virtualize.model import ParsedFile, Unreadable
from vzarr.virtualize.pool import parse_files


def taken_back(
    request: AppendRequest,
    todo: Sorted,
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
) -> ParsedFile | None:
    """The last source, where a new file repeats its last steps and takes their place.

    It leaves the store, and comes back without these.

    Raises
    ------
    InputError
        If it is not as it was any more.
    """
    dimension, records = metadata["concat_dim"], metadata["sources"]
    if policy_of(request, metadata).overlap != "last" or dimension is None or not todo.new:
        return None
    stored = _stored_index(store, metadata)
    indexes = [index_of(file, dimension) for file in todo.new]
    if stored is None or any(index is None for index in indexes):
        return None
    if "variables" in records[-1] or not repeated_steps(stored, min(indexes, key=lambda i: i[0])):
        return None
    record = records[-1]
    now = look_up(record["url"], request.access)
    if what := what_changed(record, now):
        raise InputError(
            f"{record['url']}: {what} when it was committed, and new files take the place of its "
            "last steps. Name it, too, with --replace. Nothing was committed."
        )
    written = datetime.fromisoformat(record["last_modified"])
    source = Source(record["url"], record["size"], written, record["etag"])
    (parsed,) = parse_files([source], request.access, **parsing_options(metadata))
    if isinstance(parsed, Unreadable):
        raise InputError(f"{parsed.reason} Nothing was committed.")
    file = as_recorded(parsed, record, dimension)
    todo.replaced[len(records) - 1] = file
    return file


def without_repeated(
    request: AppendRequest,
    files: list[ParsedFile],
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
) -> list[ParsedFile]:
    """New files without the steps that their neighbours, or the store, have."""
    dimension = metadata["concat_dim"]
    policy = policy_of(request, metadata)
    if dimension is None or policy.overlap is None or not files:
        return files
    before = _stored_index(store, metadata)
    return trim_files(files, dimension, policy.overlap, before, policy.irregular != "refuse")


def _stored_index(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> Any:
    """The record coordinate of the first group that has one."""
    for group, stored_group in stored_groups(metadata).items():
        index = open_store(store, group).indexes.get(stored_group["concat_dim"])
        if index is not None and len(index):
            return index
    return None
