"""Whether a file at another place is the one that a store knows."""

from __future__ import annotations

from vzarr.repository.history import what_changed
from vzarr.sources.content import fetch
from vzarr.sources.discover import Source, SourceRecord
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.schemes import Access


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
