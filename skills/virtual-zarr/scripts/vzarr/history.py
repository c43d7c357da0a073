"""What commits say of their sources: the first lists all of them, an append only its own.

So a commit's metadata does not grow with the number of appends before it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import icechunk

from vzarr.errors import InputError
from vzarr.find import Source

METADATA_KEY = "virtual_zarr"
"""Key of the commit metadata under which the tool keeps what it needs to verify and append."""


def read_history(
    snapshots: Iterable[icechunk.SnapshotInfo], location: str
) -> tuple[dict[str, Any], str] | None:
    """All sources up to the newest snapshot of this tool, and that snapshot's id.

    ``snapshots`` from the newest to the oldest. None if no commit is of this tool.

    Raises
    ------
    InputError
        If the commits that the newest one continues are gone.
    """
    appended: list[dict[str, Any]] = []
    newest = ""
    for snapshot in snapshots:
        if METADATA_KEY not in snapshot.metadata:
            continue
        newest = newest or snapshot.id
        metadata = dict(snapshot.metadata[METADATA_KEY])
        if not metadata.get("appended"):
            for part in reversed(appended):
                metadata = continue_metadata(metadata, part)
            return metadata, newest
        appended.append(metadata)
    if appended:
        raise InputError(
            f"{location}: the commit that names the first sources has expired, so they are "
            "unknown. Name all of them: verify --source FILES; to append, build anew."
        )
    return None


def what_changed(record: dict[str, Any], now: Source) -> str:
    """How a source differs from its record, or an empty string."""
    if now.size != record["size"]:
        return f"has {now.size} bytes, had {record['size']}"
    then = datetime.fromisoformat(record["last_modified"])
    if now.last_modified != then:
        return f"was written at {now.last_modified}, before at {then}"
    if now.etag != record["etag"]:
        return f"has the ETag {now.etag}, had {record['etag']}"
    return ""


def continue_metadata(metadata: dict[str, Any], appended: dict[str, Any]) -> dict[str, Any]:
    """The metadata of all sources, those of an append after the others."""
    groups = {
        path: {**kept, "lengths": [*kept["lengths"], *appended["groups"][path]["lengths"]]}
        for path, kept in metadata.get("groups", {}).items()
    }
    joined = {**metadata, "sources": [*metadata["sources"], *appended["sources"]]}
    for key, empty in (("references", 0), ("left_out", {})):
        if key in metadata or key in appended:
            joined[key] = _add(metadata.get(key, empty), appended.get(key, empty))
    joined.pop("replaced", None)
    return {**joined, "groups": groups} if groups else joined


def _add(before: Any, after: Any) -> Any:
    return {**before, **after} if isinstance(before, dict) else before + after
