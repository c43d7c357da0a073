"""From patterns to a verified repository: find, parse, check, combine, write, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import icechunk

import vzarr
from vzarr.combine import combine_files, find_record_dimension
from vzarr.errors import InputError, Refused
from vzarr.find import find_sources
from vzarr.parse import ParsedFile, Unreadable, parse_files
from vzarr.storage import Access, as_url
from vzarr.verify import DEFAULT_SAMPLE, compare_store
from vzarr.write import check_vacant, write_repository

Progress = Callable[[str], Callable[[int, int], None]]
"""Takes a phase's name and gives the callback for it."""


@dataclass
class Built:
    """What ``build`` made.

    ``loaded`` are coordinates, kept as numbers by design; ``native`` gives the reason for each
    variable that had to be copied; ``left_out`` the sentence for each file that is not in it.
    """

    repository: str
    snapshot: str
    concat_dim: str | None
    sizes: dict[str, int]
    sources: list[str]
    references: int
    virtual: list[str]
    loaded: list[str]
    native: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def _silent(phase: str) -> Callable[[int, int], None]:
    return lambda done, total: None


def build(
    patterns: list[str],
    repository: str,
    access: Access,
    *,
    concat_dim: str | None = None,
    drop: tuple[str, ...] = (),
    skip_bad: bool = False,
    message: str | None = None,
    workers: int | None = None,
    progress: Progress = _silent,
) -> Built:
    """Make a repository over files; raise before anything is written if it would read wrong.

    Raises
    ------
    InputError
        For patterns without a match, an unreadable file, a place that is taken.
    Refused
        For files that differ, and if the store does not read as its sources do.
    """
    check_vacant(repository, access)
    parsed_at = datetime.now(UTC)
    sources = find_sources(patterns, access)
    if concat_dim is None and len(sources) > 1:
        concat_dim = _guess_dimension(sources, access, drop)
    parsed = parse_files(
        sources,
        access,
        drop=drop,
        record_dimension=concat_dim,
        workers=workers,
        progress=progress("parsed"),
    )
    unreadable = [result.reason for result in parsed if isinstance(result, Unreadable)]
    good = [result for result in parsed if isinstance(result, ParsedFile)]
    if unreadable and not (skip_bad and good):
        more = f" ({len(unreadable) - 1} more files.)" if len(unreadable) > 1 else ""
        raise InputError(unreadable[0] + more)
    dataset, files, differing = combine_files(good, concat_dim, access, skip_bad)
    metadata = _metadata(files, concat_dim)

    def compare(store: icechunk.IcechunkStore) -> None:
        report = compare_store(
            store, metadata, access, sample=DEFAULT_SAMPLE, progress=progress("compared")
        )
        if not report.passed:
            raise Refused(f"The store would not read as its sources do: {report.failures[0]}.")

    references = int(dataset.vz.nrefs())
    snapshot = write_repository(
        dataset,
        repository,
        [file.source.url for file in files],
        access,
        message=message or f"{len(files)} files",
        metadata=metadata,
        last_updated_at=_last_updated(parsed_at, files),
        before_commit=compare,
    )
    return Built(
        repository=as_url(repository),
        snapshot=snapshot,
        concat_dim=concat_dim,
        sizes={str(name): size for name, size in dataset.sizes.items()},
        sources=[file.source.url for file in files],
        references=references,
        virtual=metadata["virtual"],
        loaded=metadata["loaded"],
        native=metadata["native"],
        dropped=metadata["dropped"],
        notes=list(dict.fromkeys(note for file in files for note in file.notes)),
        left_out=[*unreadable, *map(str, differing)],
    )


def _last_updated(parsed_at: datetime, files: list[ParsedFile]) -> datetime:
    """The time after which a source counts as changed.

    The begin of parsing; but Icechunk compares whole seconds, so a file written in that very second
    would count as changed, and gets the rest of it.
    """
    newest = max(file.source.last_modified for file in files)
    return max(parsed_at, newest.replace(microsecond=0) + timedelta(seconds=1))


def _guess_dimension(sources: list, access: Access, drop: tuple[str, ...]) -> str:
    """The record dimension of the first file that can be read."""
    reason = ""
    for source in sources:
        (result,) = parse_files([source], access, drop=drop, workers=1)
        if isinstance(result, ParsedFile):
            return find_record_dimension(result)
        reason = reason or result.reason
    raise InputError(reason)


def _metadata(files: list[ParsedFile], concat_dim: str | None) -> dict[str, Any]:
    """What a commit keeps, for ``verify`` and for appends to come."""
    records = []
    for file in files:
        length = file.dataset.sizes.get(concat_dim, 1) if concat_dim else 1
        records.append({**file.source.as_record(), "length": int(length)})
    native: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for file in files:
        native |= file.native
        dropped |= file.dropped
    virtual = sorted(files[0].virtual)
    return {
        "version": vzarr.__version__,
        "concat_dim": concat_dim,
        "sources": records,
        "virtual": virtual,
        "loaded": sorted({str(name) for name in files[0].dataset.variables} - {*virtual, *native}),
        "native": native,
        "dropped": dropped,
    }
