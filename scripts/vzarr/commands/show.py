"""What a repository holds, and what its readers need. Nothing but the repository is read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import icechunk

from vzarr.combine.coverage import Coverage, find_coverage
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, is_failure
from vzarr.repository.claim import BUILDING
from vzarr.repository.commits import tips
from vzarr.repository.contents import ArrayContents, describe_arrays, list_manifests, needed_codecs
from vzarr.repository.history import METADATA_KEY
from vzarr.repository.ledger import GROUP, read_ledger
from vzarr.repository.open import find_config, open_untrusted
from vzarr.sources.discover import natural
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import containers_of, naming
from vzarr.verification.open import open_store


@dataclass(frozen=True)
class Sources:
    """The files that a store was made of: from this tool's account, or (not ``is_listed``) those
    that references lead to.
    """

    count: int
    first: str | None
    last: str | None
    is_listed: bool
    urls: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Shown:
    """``coverage`` by group and dimension of each record coordinate; ``readers`` one sentence for
    each thing that readers need beside the packages that open the store.
    """

    repository: str
    branch: str
    snapshot: str
    written: str
    message: str
    spec_version: int
    arrays: list[ArrayContents]
    coverage: dict[str, Coverage]
    sources: Sources
    containers: list[dict[str, Any]]
    branches: dict[str, str]
    tags: dict[str, str]
    commits: int
    commits_of_tool: int
    manifests: int
    manifest_bytes: int
    splitting: list[str]
    readers: list[str]
    notes: list[str] = field(default_factory=list)

    @property
    def virtual_bytes(self) -> int:
        """Bytes of all chunks that lie in the sources."""
        return sum(array.virtual_bytes for array in self.arrays)

    @property
    def native_bytes(self) -> int:
        """Bytes of all chunks that lie in the repository."""
        return sum(array.native_bytes for array in self.arrays)

    def _repr_html_(self) -> str:
        from vzarr.combine.copied import show_bytes
        from vzarr.pages.render import fragment
        from vzarr.reports.timelines import coverage_view

        total = self.virtual_bytes + self.native_bytes
        rows: list[tuple[str, object]] = [
            ("snapshot", f"{self.snapshot} of {self.written}: {self.message}"),
            ("data", f"{show_bytes(total)}, {show_bytes(self.native_bytes)} in the repository"),
            ("sources", f"{self.sources.count:,} files"),
        ]
        rows += [("readers authorize", place["prefix"]) for place in self.containers]
        rows += [("readers need", need) for need in self.readers]
        rows += [("note", note) for note in self.notes]
        first = {array.dims[0] for array in self.arrays if len(array.dims) > 1}
        lines = [
            coverage_view(f"{path}, {covered.size:,}", covered)
            for path, covered in self.coverage.items()
            if covered.gaps or path.rpartition("/")[2] in first
        ]
        return fragment(self.repository, rows, [line for line in lines if line is not None])

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        told = ({**vars(array), "urls": len(array.urls)} for array in self.arrays)
        arrays = [{key: each[key] for key in each if key != "strip"} for each in told]
        return {
            **asdict(replace(self, arrays=[], coverage={})),
            "arrays": arrays,
            "coverage": {path: covered.as_json() for path, covered in self.coverage.items()},
            "virtual_bytes": self.virtual_bytes,
            "native_bytes": self.native_bytes,
        }


def show(
    location: str,
    access: Access,
    *,
    branch: str | None = None,
    tag: str | None = None,
    snapshot: str | None = None,
    list_sources: bool = False,
) -> Shown:
    """Describe any Icechunk repository, at a branch (``main``), a tag or a snapshot.

    No container is authorized and no source contacted, so nothing need be trusted.

    Raises
    ------
    InputError
        If there is no such repository, branch, tag or snapshot.
    """
    access = naming(access, location=location)
    config = find_config(location, access)
    repository = open_untrusted(location, access)
    branches, tags = tips(repository)
    where = _chosen(location, branches, tags, branch, tag, snapshot)
    try:
        session = repository.readonly_session(snapshot_id=where)
        history = list(repository.ancestry(snapshot_id=where))
    except icechunk.IcechunkError as error:
        raise InputError(
            f"{location}: has no snapshot {where}: virtual_zarr.py log lists them."
        ) from error
    manifests = list_manifests(repository, where)
    ledger = read_ledger(session.store)
    groups = ledger["groups"].items() if ledger is not None else ()
    arrays = describe_arrays(session.store, {path: each["concat_dim"] for path, each in groups})
    return Shown(
        repository=as_url(location),
        branch=branch or (tag or snapshot or "main"),
        snapshot=where,
        written=f"{history[0].written_at:%Y-%m-%dT%H:%M:%SZ}",
        message=history[0].message,
        spec_version=int(repository.spec_version),
        arrays=arrays,
        coverage=dict(_coverage(session.store, arrays)),
        sources=_sources(arrays, ledger, list_sources),
        containers=[
            {key: value for key, value in vars(place).items() if value}
            for place in containers_of(config, location)
        ],
        branches=branches,
        tags=tags,
        commits=len(history) - 1,
        commits_of_tool=sum(METADATA_KEY in one.metadata for one in history),
        manifests=len(manifests),
        manifest_bytes=sum(one.size_bytes for one in manifests),
        splitting=_splitting(config),
        readers=_readers(arrays),
        notes=_notes(branches, history, ledger),
    )


def _chosen(
    location: str,
    branches: dict[str, str],
    tags: dict[str, str],
    branch: str | None,
    tag: str | None,
    snapshot: str | None,
) -> str:
    if snapshot is not None:
        return snapshot
    kind, name, known = ("tag", tag, tags) if tag else ("branch", branch or "main", branches)
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise InputError(f"{location}: has no {kind} {name}; there are: {there}.")
    return known[name]


def _coverage(
    store: icechunk.IcechunkStore, arrays: list[ArrayContents]
) -> Iterator[tuple[str, Coverage]]:
    """Of each coordinate that other arrays of its group share, if its values lie in the store."""
    for array in arrays:
        group, _, name = array.path.rpartition("/")
        below = f"{group}/" if group else ""
        is_shared = any(
            name in other.dims and other.path != array.path and other.path.startswith(below)
            for other in arrays
        )
        if array.dims != (name,) or not is_shared or array.virtual:
            continue
        try:
            yield array.path, find_coverage(open_store(store, group)[name].values)
        except BaseException as error:  # a group that xarray cannot open, or of text
            if not is_failure(error):
                raise


def _sources(arrays: list[ArrayContents], ledger: StoreMetadata | None, listed: bool) -> Sources:
    if ledger is not None:
        urls = [record["url"] for record in ledger["sources"]]
    else:
        urls = sorted(set().union(*(array.urls for array in arrays)), key=natural)
    first, last = (urls[0], urls[-1]) if urls else (None, None)
    return Sources(len(urls), first, last, ledger is not None, urls if listed else [])


def _splitting(config: icechunk.RepositoryConfig | None) -> list[str]:
    """One sentence for each rule by which manifests are cut."""
    manifest = config and config.manifest
    splitting = manifest and manifest.splitting
    return [
        f"{dimension}: {count} chunks in a manifest"
        for _, sizes in (splitting and splitting.split_sizes) or ()
        for dimension, count in (
            (str(along).partition('"')[2].rpartition('"')[0] or str(along), count)
            for along, count in sizes
        )
    ]


def _readers(arrays: list[ArrayContents]) -> list[str]:
    needs = [f"the codec {name}, which Zarr lacks" for name in needed_codecs(arrays)]
    if any(isinstance(length, tuple | list) for array in arrays for length in array.chunks):
        needs.append('zarr.config.set({"array.rectilinear_chunks": True}): chunks differ in length')
    return needs


def _notes(
    branches: dict[str, str],
    history: list[icechunk.SnapshotInfo],
    ledger: StoreMetadata | None,
) -> list[str]:
    notes = []
    if ledger is None:
        notes.append(
            f"no list of sources ({GROUP}): this tool did not build it; verify --source FILES "
            "compares it, append --source FILES takes it over"
        )
    if BUILDING in branches:
        notes.append(f"branch {BUILDING}: a build goes on here, or was stopped")
    if any(set(one.metadata) & {"splitting_config"} for one in history[:1]):
        notes.append("the last commit rewrote manifests")
    return notes
