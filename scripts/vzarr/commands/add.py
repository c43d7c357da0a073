"""Variables of another product beside those of a store: the same records, the same grid."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import icechunk

from vzarr.changes.append_held import read_held_files
from vzarr.changes.append_request import AppendRequest
from vzarr.changes.append_sorting import find_wanted, parse_wanted
from vzarr.changes.append_writing import compare_with_sources, with_new_containers
from vzarr.changes.attempts import attempt, session_at
from vzarr.changes.columns import own_variables, with_columns
from vzarr.changes.dropping import begun, check_dropped
from vzarr.changes.new_variables import with_variables
from vzarr.changes.replacements import replace_files
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress, silent
from vzarr.repository.handle import save_config
from vzarr.repository.history import check_unchanged, commit_metadata
from vzarr.repository.ledger import write_ledger
from vzarr.repository.open import open_any_repository
from vzarr.sources.discover import Source, find_sources, last_updated
from vzarr.sources.prefixes import as_prefix
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming, reaching
from vzarr.verification.open import spread
from vzarr.verification.store import DEFAULT_SAMPLE
from vzarr.virtualize.model import ParsedFile


@dataclass(frozen=True)
class Added:
    """What ``add`` did. ``snapshot`` is None where there was nothing to commit.

    ``added`` are files, ``variables`` those that the repository had not; ``known`` files were in it
    already.. ``containers`` as in
    ``vzarr.changes.append_request.Appended``.
    """

    repository: str
    added: list[str] = field(default_factory=list)
    variables: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    references: int = 0
    snapshot: str | None = None
    containers: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def add(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    drop: tuple[str, ...] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Added:
    """Put the variables of files beside those that a repository has for the same records.

    All files or none, in one commit, compared before. Records without a file are missing there.
    ``append`` takes files of all products from then on. ``drop`` leaves out variables. Safe to run
    twice, also at the same time.

    Raises
    ------
    InputError
        For patterns without a match, an unreadable file, no repository of this tool.
    Refused
        For files of other records or another grid, and of data that the repository has.
    """
    prefixes = tuple(map(as_prefix, prefixes))
    access = naming(access, patterns, location)
    repository = open_any_repository(location, access)
    access = reaching(access, repository.config, location)
    sources = find_sources(patterns, access)
    request = AppendRequest(
        location=location,
        access=access,
        replace_known=False,
        skip_bad=False,
        made_of=(),
        message=message,
        workers=workers,
        dask=dask,
        progress=progress,
        patterns=tuple(patterns),
        prefixes=prefixes,
        drop=tuple(name.strip("/") for name in drop),
    )
    return attempt(
        lambda repository: _add_once(request, repository, sources), repository, location, access
    )


def _add_once(
    request: AppendRequest, repository: icechunk.Repository, sources: list[Source]
) -> Added:
    """One attempt, which fails where somebody else commits meanwhile."""
    location = as_url(request.location)
    started = datetime.now(UTC)
    session = repository.writable_session("main")
    account, request = read_held_files(request, repository, session)
    before = account.metadata
    wanted = find_wanted(sources, before)
    files, empty = parse_wanted(request, wanted.sources, before)
    check_dropped(request.drop, files, before, request.access)
    _check_new(files, before, location)
    known = [*wanted.known, *wanted.superseded, *wanted.removed]
    result = Added(location, known=known, notes=[*account.notes, *empty])
    if not files:
        return result
    checksum = last_updated(started, [file.source for file in files])
    repository, containers = with_new_containers(request, repository, files)
    session = session_at(repository, session.snapshot_id)
    store = session.store
    metadata = with_variables(store, location, before, files, checksum)
    metadata, added, _ = with_columns(store, location, metadata, files, before, request.access)
    references, metadata = replace_files(
        store, location, metadata, added, checksum, request.access, anew=[*added]
    )
    numbers = [*added]
    sample = [numbers[at] for at in spread(len(numbers), DEFAULT_SAMPLE)]
    total = len(metadata["sources"])
    notes = compare_with_sources(request, store, metadata, sample, total, account)
    check_unchanged([file.source for file in files], request.patterns, request.access)
    if containers:
        save_config(repository, location, request.access)
    variables = begun(before, metadata)
    write_ledger(store, {**metadata})
    what = f"{', '.join(variables)} of {len(files)} files" if variables else f"{len(files)} files"
    snapshot = session.commit(
        request.message or f"added {what}", metadata=commit_metadata("add", added=len(files))
    )
    return Added(
        location,
        added=[metadata["sources"][number]["url"] for number in numbers],
        variables=variables,
        known=result.known,
        notes=[*result.notes, *notes],
        references=references,
        snapshot=snapshot,
        containers=containers,
    )


def _check_new(files: list[ParsedFile], metadata: StoreMetadata, location: str) -> None:
    """Refuse what is no other product.

    Raises
    ------
    InputError
        For a store along two dimensions, or a file that was written again.
    Refused
        For a file without data along the records.
    """
    if metadata.get("inner"):
        raise InputError(
            f"{location}: lies along two dimensions, to which no files of other variables can be "
            f"added. Build a store of their own, with --concat-dim {metadata['concat_dim']} "
            f"--concat-dim {metadata['inner']}: xarray.merge shows both as one."
        )
    urls = {record["url"] for record in metadata["sources"]}
    for file in files:
        if file.source.url in urls:
            raise InputError(
                f"{file.source.url}: is in the repository, and was written again since. Take its "
                "new state with refresh, or append --replace."
            )
        if not own_variables(file, metadata):
            raise Refused(
                f"{file.source.url}: has no virtual variable along {metadata['concat_dim']} that "
                "could stand beside the others. Nothing was committed: leave it out."
            )
