"""From patterns to a verified repository: find, parse, check, combine, write, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import icechunk
import xarray as xr
from virtualizarr.manifests.manifest import INLINED_CHUNK_PATH

import vzarr
from vzarr.combine import find_record_dimension
from vzarr.errors import InputError, Refused
from vzarr.find import Source, find_sources, last_updated
from vzarr.formats import FORMATS
from vzarr.groups import combine_groups, describe, part_of, stored_groups
from vzarr.parse import ParsedFile, Unreadable, is_virtual
from vzarr.storage import Access, as_url
from vzarr.targets import follow
from vzarr.verify import DEFAULT_SAMPLE, compare_store
from vzarr.workers import parse_files
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


def silent(phase: str) -> Callable[[int, int], None]:
    return lambda done, total: None


def build(
    patterns: list[str],
    repository: str,
    access: Access,
    *,
    concat_dim: str | None = None,
    drop: tuple[str, ...] = (),
    skip_bad: bool = False,
    groups: tuple[str, ...] = (),
    message: str | None = None,
    workers: int | None = None,
    everything: bool = False,
    progress: Progress = silent,
) -> Built:
    """Make a repository over files; raise before anything is written if it would read wrong.

    ``everything``: of Kerchunk references, compare all files that they lead to.

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
        concat_dim = _guess_dimension(sources, access, drop, groups)
    elif concat_dim is None:
        concat_dim = _dimension_to_grow(sources[0], access, drop, groups)
    parsed = parse_files(
        sources,
        access,
        drop=drop,
        record_dimension=concat_dim,
        groups=groups,
        workers=workers,
        progress=progress("parsed"),
    )
    unreadable = [result.reason for result in parsed if isinstance(result, Unreadable)]
    good = [result for result in parsed if isinstance(result, ParsedFile)]
    if unreadable and not (skip_bad and good):
        more = f" ({len(unreadable) - 1} more files.)" if len(unreadable) > 1 else ""
        raise InputError(unreadable[0] + more)
    datasets, files, differing = combine_groups(good, concat_dim, access, skip_bad)
    metadata = _metadata(files, concat_dim, datasets)

    notes = [note for file in files for group in datasets for note in part_of(file, group).notes]

    def compare(store: icechunk.IcechunkStore) -> None:
        report = compare_store(
            store, metadata, access, sample=DEFAULT_SAMPLE, progress=progress("compared")
        )
        if not report.passed:
            raise Refused(f"The store would not read as its sources do: {report.failures[0]}.")
        if any(FORMATS[file.file_format].references for file in files):
            followed = follow(
                store, metadata, access, everything=everything, progress=progress("followed")
            )
            metadata.update(followed.metadata)
            notes.extend(followed.notes)

    references = sum(int(dataset.vz.nrefs()) for dataset in datasets.values())
    snapshot = write_repository(
        datasets,
        repository,
        _places(files, datasets),
        access,
        message=message or f"{len(files)} files",
        metadata=metadata,
        last_updated_at=last_updated(parsed_at, [file.source for file in files]),
        before_commit=compare,
    )
    stored = list(stored_groups(metadata).items())
    return Built(
        repository=as_url(repository),
        snapshot=snapshot,
        concat_dim=metadata["concat_dim"],
        sizes={
            _path(group, name): size
            for group, dataset in datasets.items()
            for name, size in dataset.sizes.items()
        },
        sources=[record["url"] for record in metadata["sources"]],
        references=references,
        virtual=[_path(group, name) for group, kept in stored for name in kept["virtual"]],
        loaded=[_path(group, name) for group, kept in stored for name in kept["loaded"]],
        native=_by_path(stored, "native"),
        dropped=_by_path(stored, "dropped"),
        notes=list(dict.fromkeys(notes)),
        left_out=[*unreadable, *map(str, differing)],
    )


def _path(group: str, name: object) -> str:
    return f"{group}/{name}" if group else str(name)


def _by_path(stored: list[tuple[str, dict[str, Any]]], key: str) -> dict[str, str]:
    return {_path(group, name): why for group, kept in stored for name, why in kept[key].items()}


def _places(files: list[ParsedFile], datasets: dict[str, xr.Dataset]) -> list[str]:
    """The URLs that references lead to: the sources, or what these refer to themselves."""
    places = {file.data_url for file in files}
    if any(FORMATS[file.file_format].references for file in files):
        for dataset in datasets.values():
            for variable in dataset.variables.values():
                if is_virtual(variable):
                    places |= {str(path) for path in variable.data.manifest._paths.flat if path}
    return sorted(places - {INLINED_CHUNK_PATH})


def _guess_dimension(
    sources: list, access: Access, drop: tuple[str, ...], groups: tuple[str, ...]
) -> str:
    """The record dimension of the first file that can be read, in the first group that has one."""
    reason = ""
    for source in sources:
        (result,) = parse_files([source], access, drop=drop, groups=groups, workers=1)
        if isinstance(result, ParsedFile):
            first: InputError | None = None
            for part in [result, *result.children.values()]:
                try:
                    return find_record_dimension(part)
                except InputError as error:
                    first = first or error
            raise first
        reason = reason or result.reason
    raise InputError(reason)


def _dimension_to_grow(
    source: Source, access: Access, drop: tuple[str, ...], groups: tuple[str, ...]
) -> str | None:
    """The dimension along which files may be appended to a single one, if it has one."""
    (result,) = parse_files([source], access, drop=drop, groups=groups, workers=1)
    if not isinstance(result, ParsedFile) or result.children:
        return None
    try:
        found = find_record_dimension(result)
    except InputError:
        return None
    return found if found in result.dataset.indexes and result.dataset.sizes[found] else None


def _metadata(
    files: list[ParsedFile], concat_dim: str | None, datasets: dict[str, xr.Dataset]
) -> dict[str, Any]:
    """What a commit keeps, for ``verify`` and for appends to come."""
    root = describe(files, "", concat_dim)
    lengths = root.pop("lengths")
    records = [
        {**file.as_record(), "length": length} for file, length in zip(files, lengths, strict=True)
    ]
    metadata = {
        "version": vzarr.__version__,
        **root,
        "concat_dim": concat_dim,
        "sources": records,
    }
    below = {path: describe(files, path, concat_dim) for path in datasets if path}
    if below:
        metadata |= {"root": bool(datasets[""].variables), "groups": below}
    return metadata
