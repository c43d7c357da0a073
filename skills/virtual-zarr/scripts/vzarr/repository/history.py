"""Which sources a repository holds, by this tool's own account, and what others did to it since.

The account is the ledger in the store. Repositories of before have it in the metadata of their
commits: the first lists all sources, an append only its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import icechunk
import zarr

import vzarr
from vzarr.combine.plan import together
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.errors import InputError
from vzarr.repository.foreign_arrays import with_foreign
from vzarr.repository.ledger import SCHEMA, read_ledger, told_by_option
from vzarr.repository.taken_out import with_records_of
from vzarr.sources.discover import Source, SourceRecord, find_sources, is_same_time
from vzarr.sources.fingerprint import FINGERPRINT_PART, FINGERPRINT_PARTS
from vzarr.sources.schemes import Access
from vzarr.sources.trust import check_sources
from vzarr.upstream.zarr import dimension_names

if TYPE_CHECKING:
    from vzarr.virtualize.model import ParsedFile


METADATA_KEY = "virtual_zarr"
"""Key of the commit metadata by which the tool knows its own commits."""


@dataclass(frozen=True)
class Held:
    """What a repository holds.

    ``metadata`` as from ``read_ledger``; ``own`` the newest commit of this tool, None where no
    history tells; ``others`` the commits after it, the newest first. ``taken_out``: how many of its
    sources these took out, which ``metadata`` is without; nothing was compared. ``taken_over`` says
    of which files a repository of others is.
    """

    metadata: StoreMetadata
    own: str | None
    others: list[icechunk.SnapshotInfo] = field(default_factory=list)
    taken_out: int = 0
    taken_over: str = ""

    @property
    def notes(self) -> list[str]:
        """A sentence that says what others committed."""
        foreign = sorted(
            f"{group}/{name}".lstrip("/")
            for group, each in self.metadata["groups"].items()
            for name in each.get("foreign", ())
        )
        told = [f"{', '.join(foreign)}: put there by others, and left alone"] if foreign else []
        if self.taken_over:
            told.append(self.taken_over)
        if self.taken_out:
            files = f"{self.taken_out} of its files" if self.taken_out > 1 else "one of its files"
            told.append(f"others took {files} out: they stay out")
        if not self.others:
            return told
        last = self.others[0]
        more = f"{len(self.others)} commits" if len(self.others) > 1 else "a commit"
        return [
            f"main has {more} since the last one of this tool, of others: {last.message!r} of "
            f"{last.written_at:%Y-%m-%d %H:%M}",
            *told,
        ]


def read_held(
    repository: icechunk.Repository, session: icechunk.Session, location: str, access: Access
) -> Held | None:
    """What a session's snapshot holds; None if no commit is of this tool.

    Raises
    ------
    InputError
        If there is no ledger, and the commits that the newest one continues are gone; if sources
        lie in places that the user did not name.
    """
    ledger = read_ledger(session.store)
    others = []
    own = None
    for snapshot in repository.ancestry(snapshot_id=session.snapshot_id):
        if METADATA_KEY in snapshot.metadata:
            own = snapshot.id
            break
        if snapshot.parent_id is not None:  # the first one is Icechunk's own
            others.append(snapshot)
    metadata = ledger
    if metadata is None:
        snapshots = repository.ancestry(snapshot_id=session.snapshot_id)
        older = _from_commits(snapshots, location)
        metadata = None if older is None else _in_today_s_form(older, session.store)
    if metadata is None:
        return None
    check_sources((record["url"] for record in metadata["sources"]), location, access)
    if not others:
        return Held(metadata, own)
    total = len(metadata["sources"])
    if own is not None:
        before = repository.readonly_session(snapshot_id=own).store
        metadata = with_records_of(metadata, before, session.store) or metadata
    taken_out = total - len(metadata["sources"])
    return Held(with_foreign(session.store, metadata), own, others, taken_out)


def commit_metadata(command: str, **counts: int) -> dict[str, Any]:
    """What a commit says of itself: the command, and how many sources it added and replaced."""
    return {
        METADATA_KEY: {
            "schema": SCHEMA,
            "version": vzarr.__version__,
            "command": command,
            **{name: count for name, count in counts.items() if count},
        }
    }


def _in_order(value: Any) -> Any:
    """With sorted keys at every level: Icechunk returns them in an order of chance."""
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return (
        {key: _in_order(value[key]) for key in sorted(value)} if isinstance(value, dict) else value
    )


def what_changed(record: SourceRecord, now: Source) -> str:
    """How a source differs from its record, or an empty string."""
    if now.size != record["size"]:
        return f"has {now.size} bytes, had {record['size']}"
    then = datetime.fromisoformat(record["last_modified"])
    if not is_same_time(now.url, now.last_modified, then):
        return f"was written at {now.last_modified}, before at {then}"
    if now.etag != record["etag"]:
        return f"has the ETag {now.etag}, had {record['etag']}"
    return ""


def check_unchanged(sources: Iterable[Source], patterns: Sequence[str], access: Access) -> None:
    """Make sure, before a commit, that files are what they were when ``patterns`` found them.

    Raises
    ------
    InputError
        If one is not: half of it may have been read before it changed.
    """
    now = {source.url: source for source in find_sources(list(patterns), access)}
    for source in sources:
        there = now.get(source.url)
        what = what_changed(source.as_record(), there) if there else "is gone, was there"
        if what:
            raise InputError(
                f"{source.url}: {what} when this run found it: it changed while it was read. "
                "Nothing was committed: run the same command again when it is complete."
            )


def with_more(
    metadata: StoreMetadata,
    sources: list[SourceRecord],
    described: Mapping[str, GroupRecord],
) -> StoreMetadata:
    """The metadata with more sources behind the others, which ``described`` are, by group."""
    groups: dict[str, GroupRecord] = {}
    for path, stored_group in metadata["groups"].items():
        more = described[path]
        groups[path] = {**stored_group, "lengths": [*stored_group["lengths"], *more["lengths"]]}
        grown = {*stored_group["virtual"]} & {
            *more["loaded"]
        }  # scalars that are one for each record now
        groups[path]["virtual"] = [name for name in stored_group["virtual"] if name not in grown]
        groups[path]["loaded"] = sorted({*stored_group["loaded"], *grown})
        if ways := together(stored_group.get("ways", {}), more.get("ways", {})):
            groups[path]["ways"] = ways
    return {**metadata, "sources": [*metadata["sources"], *sources], "groups": groups}


def _from_commits(
    snapshots: Iterable[icechunk.SnapshotInfo], location: str
) -> dict[str, Any] | None:
    """All sources, as releases before 0.2 kept them: from the newest commit to the oldest."""
    appended: list[dict[str, Any]] = []
    for snapshot in snapshots:
        metadata = _in_order(snapshot.metadata.get(METADATA_KEY, {}))
        if "sources" not in metadata:
            continue
        if not metadata.get("appended"):
            for part in reversed(appended):
                metadata = _continued(metadata, part)
            return metadata
        appended.append(metadata)
    if appended:
        raise InputError(
            f"{location}: the commit that names the first sources has expired, so they are "
            "unknown. Name all of them: verify --source FILES; append FILES --source FILES."
        )
    return None


def _continued(metadata: dict[str, Any], appended: dict[str, Any]) -> dict[str, Any]:
    groups = {
        path: {
            **stored_group,
            "lengths": [*stored_group["lengths"], *appended["groups"][path]["lengths"]],
        }
        for path, stored_group in metadata.get("groups", {}).items()
    }
    joined = {**metadata, "sources": [*metadata["sources"], *appended["sources"]]}
    return {**joined, "groups": groups} if groups else joined


def _in_today_s_form(metadata: dict[str, Any], store: icechunk.IcechunkStore) -> StoreMetadata:
    about_root = ("virtual", "loaded", "native", "dropped", "without_source")
    groups = dict(metadata.get("groups", {}))
    if metadata.get("root", True):
        names = [dimension_names(array) for _, array in zarr.open_group(store, mode="r").arrays()]
        dimension = metadata["concat_dim"]
        root = {key: metadata[key] for key in about_root if key in metadata}
        root["concat_dim"] = dimension if any(dimension in each for each in names) else None
        root["lengths"] = [record["length"] for record in metadata["sources"]]
        groups = {"": root, **groups}
    sources = [
        {key: value for key, value in record.items() if key != "length"}
        for record in metadata["sources"]
    ]
    groups = {
        path: {"by_option": told_by_option(stored_group["dropped"]), **stored_group}
        for path, stored_group in groups.items()
    }
    dropped = {*about_root, "appended", "root", "replaced"}
    rest = {key: value for key, value in metadata.items() if key not in dropped}
    return cast(StoreMetadata, {**rest, "sources": sources, "replaced": [], "groups": groups})


def is_same_content(record: Mapping[str, Any], now: ParsedFile) -> bool:
    """Whether a file that was written again surely holds what its record is of.

    By its ETag, or by a fingerprint of all its bytes: that of a large file is of parts only.
    """
    if now.source.size != record["size"]:
        return False
    if record["etag"] and record["etag"] == now.source.etag:
        return True
    is_whole = now.source.size <= FINGERPRINT_PARTS * FINGERPRINT_PART
    return is_whole and now.fingerprint is not None and now.fingerprint == record.get("fingerprint")
