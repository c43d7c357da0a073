"""New files behind the last one of a repository: idempotent, in order, one commit a run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

import vzarr
from vzarr.build import Progress, silent
from vzarr.check import Difference, compare_files, order_problem
from vzarr.combine import finer_unit
from vzarr.errors import InputError, Refused
from vzarr.extend import extend_store
from vzarr.find import Source, find_sources, last_updated
from vzarr.groups import combine_groups, describe, stored_groups
from vzarr.history import METADATA_KEY, continue_metadata, read_history, what_changed
from vzarr.native import fetch, mismatch, open_native, rounding
from vzarr.parse import ParsedFile, Unreadable, digest
from vzarr.refresh import (
    beside,
    parsing_options,
    replace_files,
    stored_file,
    stored_part,
    with_containers,
)
from vzarr.storage import Access, as_url, authorization
from vzarr.verify import DEFAULT_SAMPLE, compare_store, open_store, spread
from vzarr.workers import parse_files
from vzarr.write import alone, open_any_repository

ATTEMPTS = 10
"""Runs against other writers before giving up."""
BUILD_ANEW = "Nothing was committed: build such files into a store of their own, or all anew"


@dataclass
class Appended:
    """What ``append`` did. ``snapshot`` is None where there was nothing to commit.

    ``known`` says of files that are in the repository already under which URL; ``left_out`` the
    sentence for each file that does not fit; ``containers`` the prefixes that are new, which
    readers have to authorize.
    """

    repository: str
    appended: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    references: int = 0
    length: int = 0
    snapshot: str | None = None
    containers: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def append(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    replace_known: bool = False,
    skip_bad: bool = False,
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: Progress = silent,
) -> Appended:
    """Append those files that the repository does not hold yet, in the order of their records.

    A file counts as held by its URL, size and time of change, or by its content under any name.
    ``replace_known`` writes a file that changed since, or that has the records of one that is
    there, over the old one. Safe to run twice, also at the same time.

    Raises
    ------
    InputError
        For patterns without a match, an unreadable file, no repository of this tool.
    Refused
        For files that do not fit behind what is there.
    """
    sources = find_sources(patterns, access)
    for _ in range(ATTEMPTS):
        repository = open_any_repository(location, access)
        run = _Run(location, access, replace_known, skip_bad, message, workers, dask, progress)
        try:
            with alone(location):
                return run.append(repository, sources)
        except icechunk.ConflictError:
            continue  # someone else committed: what is new has to be found out again
    raise Refused(
        f"{location}: other writers committed first, {ATTEMPTS} times. Nothing was committed: run "
        "it again when fewer write."
    )


@dataclass
class _Run:
    location: str
    access: Access
    replace_known: bool
    skip_bad: bool
    message: str | None
    workers: int | None
    dask: str | None
    progress: Progress

    def append(self, repository: icechunk.Repository, sources: list[Source]) -> Appended:
        found = Appended(as_url(self.location))
        started = datetime.now(UTC)
        session = repository.writable_session("main")
        metadata = self._metadata(repository, session)
        records = metadata["sources"]
        numbers = {record["url"]: number for number, record in enumerate(records)}
        wanted = [source for source in sources if self._is_wanted(source, numbers, records, found)]
        parsed = self._parse(wanted, metadata, found)
        again, new = self._sort_out(parsed, session, metadata, numbers, found)
        if not again and not new:
            return found
        files = [*again.values(), *new]
        checksum = last_updated(started, [file.source for file in files])
        held = set(repository.config.virtual_chunk_containers or {})
        config = with_containers(repository.config, [file.data_url for file in files], self.access)
        keys = authorization(list(config.virtual_chunk_containers or {}), self.access)
        found.containers = sorted({*(config.virtual_chunk_containers or {})} - held)
        repository = repository.reopen(config=config, authorize_virtual_chunk_access=keys)
        tip = session.snapshot_id
        session = repository.writable_session("main")
        if session.snapshot_id != tip:
            raise icechunk.ConflictError(tip, session.snapshot_id)
        if again:
            found.references, metadata = replace_files(
                session.store, found.repository, metadata, again, checksum, self.access
            )
            found.replaced = [file.source.url for file in again.values()]
        kept = self._write(session.store, new, metadata, checksum, found) if new else {}
        joined = continue_metadata(metadata, kept) if kept else metadata
        self._compare(session.store, joined, list(again), len(records))
        repository.save_config()
        message = self.message or self._describe(found)
        # An append names its own sources only; a replacement has to name all of them anew.
        session_metadata = joined if again else kept
        found.snapshot = session.commit(message, metadata={METADATA_KEY: session_metadata})
        return found

    def _metadata(
        self, repository: icechunk.Repository, session: icechunk.Session
    ) -> dict[str, Any]:
        history = read_history(repository.ancestry(snapshot_id=session.snapshot_id), self.location)
        if history is None:
            raise InputError(
                f"{self.location}: no commit of this tool is on main, so what it holds is unknown: "
                "build it with virtual_zarr.py build, or append by hand as in examples.md."
            )
        metadata = history[0]
        if metadata["concat_dim"] is None:
            raise InputError(
                f"{self.location}: was built without a record dimension, so nothing can follow: "
                "build it anew with --concat-dim NAME."
            )
        if metadata.get("moved"):
            self.access = replace(self.access, moved=tuple(metadata["moved"]))
        return metadata

    def _is_wanted(
        self,
        source: Source,
        numbers: dict[str, int],
        records: list[dict[str, Any]],
        found: Appended,
    ) -> bool:
        """Whether a file has to be looked into."""
        if source.url not in numbers:
            return True
        what = what_changed(records[numbers[source.url]], source)
        if not what:
            found.known[source.url] = source.url
            return False
        if not self.replace_known:
            self._refuse(
                f"{source.url}: {what} when it was committed. Take its new state with --replace, "
                "or name only new files.",
                found,
            )
            return False
        return True

    def _refuse(self, sentence: str, found: Appended) -> None:
        if not self.skip_bad:
            raise Refused(sentence)
        found.left_out.append(sentence)

    def _parse(
        self, sources: list[Source], metadata: dict[str, Any], found: Appended
    ) -> list[ParsedFile]:
        if not sources:
            return []
        results = parse_files(
            sources,
            self.access,
            workers=self.workers,
            dask=self.dask,
            progress=self.progress("parsed"),
            **parsing_options(metadata),
        )
        for result in results:
            if isinstance(result, Unreadable):
                if not self.skip_bad:
                    raise InputError(f"{result.reason} Nothing was committed.")
                found.left_out.append(result.reason)
        return [result for result in results if isinstance(result, ParsedFile)]

    def _sort_out(
        self,
        parsed: list[ParsedFile],
        session: icechunk.Session,
        metadata: dict[str, Any],
        numbers: dict[str, int],
        found: Appended,
    ) -> tuple[dict[int, ParsedFile], list[ParsedFile]]:
        """Files that take an old one's place, by its number, and files that are new."""
        again: dict[int, ParsedFile] = {}
        new: list[ParsedFile] = []
        spans = _spans(session.store, metadata)
        prints = {
            record["fingerprint"]: record["url"]
            for record in metadata["sources"]
            if record.get("fingerprint")
        }
        fresh: dict[str, ParsedFile] = {}
        for file in parsed:
            if file.source.url in numbers:
                again[numbers[file.source.url]] = file
                continue
            url = prints.get(file.fingerprint or "", "")
            # Two large files may have the same fingerprint; then only their records tell.
            held = _records(fresh[url], metadata) if url in fresh else spans.get(numbers.get(url))
            if url and _equal(_records(file, metadata), held):
                found.known[file.source.url] = url
            elif (number := _same_records(file, spans, metadata)) is not None:
                if self.replace_known:
                    again[number] = file
                else:
                    self._refuse(
                        f"{file.source.url}: has the same {metadata['concat_dim']} as "
                        f"{metadata['sources'][number]['url']}, but other content. Let it take "
                        "that file's place with --replace, or leave it out.",
                        found,
                    )
            else:
                new.append(file)
                if file.fingerprint:
                    prints[file.fingerprint] = file.source.url
                    fresh[file.source.url] = file
        return again, self._fitting(new, session.store, metadata, found)

    def _fitting(
        self,
        files: list[ParsedFile],
        store: icechunk.IcechunkStore,
        metadata: dict[str, Any],
        found: Appended,
    ) -> list[ParsedFile]:
        """Those that agree with the store in all that arrays share; raise for the first other."""
        fitting = []
        stored = {
            group: stored_file(store, found.repository, group, kept)
            for group, kept in stored_groups(metadata).items()
        }
        once = {
            group: _static_values(store, group, kept)
            for group, kept in (stored_groups(metadata).items() if files else ())
        }
        for file in files:
            problems: list[Difference] = []
            for group, kept in stored_groups(metadata).items():
                part = stored_part(file, group, kept)
                dimension = kept["concat_dim"] or metadata["concat_dim"]
                beside_it = beside(stored[group], part, kept)
                problems += compare_files(beside_it, part, dimension, self.access)
                problems += _order_problems(stored[group], part, kept, store)
                problems += _finer_times(stored[group], part, kept, store)
                if not problems:
                    problems += _other_values(part, once[group], found.repository, self.access)
            if problems:
                self._refuse(str(replace(problems[0], advice=BUILD_ANEW)), found)
            else:
                fitting.append(file)
        if fitting:
            for group, kept in stored_groups(metadata).items():
                _check_last_chunk(stored[group], kept, fitting[0].source.url)
        return fitting

    def _write(
        self,
        store: icechunk.IcechunkStore,
        files: list[ParsedFile],
        metadata: dict[str, Any],
        checksum: datetime,
        found: Appended,
    ) -> dict[str, Any]:
        dimension = metadata["concat_dim"]
        datasets, order, differing = combine_groups(files, dimension, self.access, self.skip_bad)
        found.left_out += map(str, differing)
        kept = stored_groups(metadata)
        described = {group: describe(order, group, dimension) for group in kept}
        growing = [group for group in kept if kept[group]["concat_dim"] is not None]
        found.references += extend_store(store, datasets, growing, dimension, checksum)
        found.appended = [file.source.url for file in order]
        first = described.get("") or next(iter(described.values()))
        records = [
            {**file.as_record(), "length": length}
            for file, length in zip(order, first["lengths"], strict=True)
        ]
        found.length = sum(first["lengths"])
        lengths = {path: {"lengths": kept["lengths"]} for path, kept in described.items() if path}
        return {
            "version": vzarr.__version__,
            "appended": True,
            "sources": records,
            "groups": lengths,
        }

    def _compare(
        self, store: icechunk.IcechunkStore, metadata: dict[str, Any], again: list[int], old: int
    ) -> None:
        """The store with its new files, beside these and the last old one."""
        total = len(metadata["sources"])
        picked = {*again, old - 1, *(old + n for n in spread(total - old, DEFAULT_SAMPLE))}
        picked = {number for number in picked if number < total}
        report = compare_store(
            store,
            metadata,
            self.access,
            numbers=sorted(picked),
            progress=self.progress("compared"),
        )
        if not report.passed:
            raise Refused(
                f"The store would not read as its sources do: {report.failures[0]}. {BUILD_ANEW}."
            )

    def _describe(self, found: Appended) -> str:
        parts = [
            f"{len(found.appended)} more files" if found.appended else "",
            f"{len(found.replaced)} replaced" if found.replaced else "",
        ]
        return ", ".join(part for part in parts if part)


Records = dict[str, tuple[object, np.ndarray]]
"""By group: the units, where they are not decoded, and the values of a record coordinate."""


def _spans(store: icechunk.IcechunkStore, metadata: dict[str, Any]) -> dict[int, Records]:
    """The records of each source, by its number, in groups that have a coordinate for them."""
    found: dict[int, Records] = {number: {} for number in range(len(metadata["sources"]))}
    for group, kept in stored_groups(metadata).items():
        coordinate = open_store(store, group).coords.get(kept["concat_dim"])
        if coordinate is None:
            continue
        ends = np.cumsum([record["length"] for record in kept["sources"]])
        for number, span in enumerate(np.split(coordinate.values, ends[:-1])):
            found[number][group] = (coordinate.attrs.get("units"), span)
    return found


def _records(file: ParsedFile, metadata: dict[str, Any]) -> Records:
    """As ``_spans``, of a file."""
    found: Records = {}
    for group, kept in stored_groups(metadata).items():
        if group and group not in file.children:
            continue
        dataset = stored_part(file, group, kept).dataset
        if kept["concat_dim"] in dataset.indexes:
            coordinate = dataset[kept["concat_dim"]]
            found[group] = (coordinate.attrs.get("units"), coordinate.values)
    return found


def _equal(mine: Records, held: Records | None) -> bool:
    """Whether two files have the same records, in all groups; true where none has any."""
    return held is not None and all(
        group in held and units == held[group][0] and np.array_equal(values, held[group][1])
        for group, (units, values) in mine.items()
    )


def _same_records(
    file: ParsedFile, spans: dict[int, Records], metadata: dict[str, Any]
) -> int | None:
    """The number of the source that has just this file's records."""
    mine = _records(file, metadata)
    if not mine:
        return None
    return next((number for number, held in spans.items() if _equal(mine, held)), None)


def _order_problems(
    stored: ParsedFile, part: ParsedFile, kept: dict[str, Any], store: icechunk.IcechunkStore
) -> list[Difference]:
    dimension = kept["concat_dim"]
    if dimension is None or dimension not in part.dataset.indexes:
        return []
    held = open_store(store, stored.group)
    if dimension not in held.indexes:
        return []
    before = replace(stored, dataset=xr.Dataset(coords={dimension: held[dimension]}))
    try:
        problem = order_problem(before, part, dimension)
    except TypeError:  # dates of two calendars
        calendars = [parsed.packing[dimension].get("calendar") for parsed in (part, stored)]
        url = part.source.url
        return [Difference(url, dimension, "calendar", *calendars, stored.source.url)]
    return [problem] if problem else []


def _static_values(
    store: icechunk.IcechunkStore, group: str, kept: dict[str, Any]
) -> dict[str, xr.Variable]:
    """What is stored once; without what cannot be read, of which the last comparison will tell."""
    found = {}
    for name, variable in open_store(store, group).variables.items():
        if kept["concat_dim"] not in variable.dims:
            with suppress(icechunk.IcechunkError):
                found[str(name)] = variable.load()
    return found


def _other_values(
    part: ParsedFile, held: dict[str, xr.Variable], location: str, access: Access
) -> list[Difference]:
    """What is stored once, and is not the same in a new file."""
    names = [
        name
        for name, expected in part.digests.items()
        if name in held and digest(held[name]) != expected
    ]
    if not names:
        return []
    found = []
    content = fetch(part.source.url, access, part.source.size)
    with open_native(content, part.file_format, part.group) as native:
        for name in names:
            mine, theirs = native[name].values, held[name].values
            differ = np.atleast_1d(mismatch(theirs, mine, rounding(native[name])))
            if differ.any():
                index = tuple(np.argwhere(differ)[0][: mine.ndim])
                values = (mine[index], theirs[index])
                found.append(Difference(part.source.url, name, "the value", *values, location))
    return found


def _finer_times(
    stored: ParsedFile, part: ParsedFile, kept: dict[str, Any], store: icechunk.IcechunkStore
) -> list[Difference]:
    """Times that the store's whole seconds, or other units, cannot hold."""
    found = []
    for name, variable in part.dataset.variables.items():
        if name in stored.packing and kept["concat_dim"] in variable.dims:
            path = f"{stored.group}/{name}".lstrip("/")
            if units := finer_unit(variable, zarr.open_array(store, path=path, mode="r")):
                what = "the resolution of its times"
                found.append(Difference(part.source.url, name, what, *units, stored.source.url))
    return found


def _check_last_chunk(stored: ParsedFile, kept: dict[str, Any], url: str) -> None:
    """Nothing can follow a partial chunk: Zarr's chunks are regular, later data would shift."""
    dimension = kept["concat_dim"]
    for name in kept["virtual"]:
        variable = stored.dataset.variables.get(name)
        if variable is None or dimension not in variable.dims:
            continue
        axis = variable.dims.index(dimension)
        chunks = variable.data.metadata.chunk_grid.chunk_shape
        if variable.shape[axis] % chunks[axis]:
            raise Refused(
                f"{url}: {name}: cannot follow {variable.shape[axis]} steps of {dimension} in "
                f"chunks of {chunks[axis]}, the last of them partial, in "
                f"{stored.source.url}: later data would be shifted. {BUILD_ANEW}."
            )
