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

from vzarr.changes.replacements import (
    NO_DIMENSION,
    expected_in_store,
    follow_files,
    other_groups,
    parsing_options,
    replace_files,
    stored_file,
    stored_part,
)
from vzarr.changes.rewriting import with_containers, write_static
from vzarr.changes.stand_in import find_stand_in, write_stand_in
from vzarr.combine.combine import Continued, in_order
from vzarr.combine.compatibility import Difference, compare_files
from vzarr.combine.coordinates import with_coordinates
from vzarr.combine.fitting import fit, like_stored, make_plan
from vzarr.combine.groups import combine_groups, describe, stored_groups
from vzarr.combine.merge import are_columns, merge_columns, records_of
from vzarr.combine.missing import with_missing
from vzarr.combine.order import order_problem
from vzarr.combine.plan import Policy, question
from vzarr.combine.record_dimension import find_record_dimension, has_no_records, no_records
from vzarr.combine.scalars import along_records, differing_scalars
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata, span_of
from vzarr.combine.times import finer_unit
from vzarr.errors import InputError, Refused
from vzarr.formats.open import open_native
from vzarr.progress import Progress, silent
from vzarr.repository.append_datasets import append_datasets
from vzarr.repository.history import (
    Held,
    check_unchanged,
    commit_metadata,
    is_same_content,
    read_held,
    what_changed,
    with_more,
)
from vzarr.repository.layouts import all_layouts, grown_numbers, stored_layouts
from vzarr.repository.ledger import read_ledger, write_ledger
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_any_repository
from vzarr.repository.references import array_paths
from vzarr.sources.content import fetch
from vzarr.sources.discover import Source, SourceRecord, find_sources, last_updated, look_up
from vzarr.sources.prefixes import as_prefix
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import authorization, naming, reaching
from vzarr.upstream.zarr import dimension_names
from vzarr.verification.foreign import complete_named, describe_named
from vzarr.verification.open import open_store, spread
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store
from vzarr.virtualize.equality import mismatch, tolerance
from vzarr.virtualize.model import ParsedFile, Unreadable, digest
from vzarr.virtualize.pool import parse_files
from vzarr.virtualize.read_coordinates import read_coordinates

ATTEMPTS = 10
"""Runs against other writers before giving up."""


LOOK_BACK = 5
"""Old sources that are looked up to find one that is there, for the comparison."""


NAME_AGAIN = (
    "Nothing was committed: if they are right, name all files that it holds now with --source FILES"
)


REPLACED = "was replaced by"


BUILD_ANEW = "Nothing was committed: build such files into a store of their own, or all anew"


@dataclass
class Appended:
    """What ``append`` did. ``snapshot`` is None where there was nothing to commit.

    ``known`` says of files that are in the repository already under which URL, or what took their
    place; ``renewed`` names files that were written again with the same content; ``left_out`` gives
    the sentence for each file that does not fit; ``containers`` the prefixes that are new, which
    readers have to authorize. ``lengths`` are the steps that were appended, by group (the root is
    "/"), of groups that grow; ``length`` is their number where all have the same, else None.
    ``ways`` as in ``vzarr.changes.build.Built``, of what was appended.
    """

    repository: str
    appended: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    references: int = 0
    length: int | None = 0
    lengths: dict[str, int] = field(default_factory=dict)
    snapshot: str | None = None
    containers: list[str] = field(default_factory=list)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)


def append(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    replace_known: bool = False,
    skip_bad: bool = False,
    made_of: tuple[str, ...] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    irregular: str | None = None,
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Appended:
    """Append those files that the repository does not hold yet, in the order of their records.

    A file counts as held by its URL, size and time of change, or by its content under any name. One
    that was written again with the same content gets a new checksum. ``replace_known`` writes a
    file that changed since, or that has the records of one that is there, over the old one; a file
    whose place was taken never comes back by itself. ``made_of`` names the files of a repository
    that this tool did not build: it is taken over if it reads as they do. ``prefixes`` as in
    ``build``, and ``irregular``; else what ``build`` was told holds. Safe to run twice, also at the
    same time.

    Raises
    ------
    InputError
        For patterns without a match, an unreadable file, no repository of this tool.
    Refused
        For files that do not fit behind what is there.
    """
    prefixes = tuple(map(as_prefix, prefixes))
    access = naming(access, [*patterns, *made_of], location)
    repository = open_any_repository(location, access)
    access = reaching(access, repository.config, location)
    sources = find_sources(patterns, access)
    options = _Options(
        location, access, replace_known, skip_bad, made_of, message, workers, dask, progress
    )
    options = replace(options, patterns=tuple(patterns), prefixes=prefixes, irregular=irregular)
    for _ in range(ATTEMPTS):
        try:
            with exclusive_lock(location):
                return _Run(options, access).append(repository, sources)
        except icechunk.ConflictError:
            # Someone else committed: what is new has to be found out again.
            repository = open_any_repository(location, access)
    raise Refused(
        f"{location}: other writers committed first, {ATTEMPTS} times. Nothing was committed: run "
        "it again when fewer write."
    )


@dataclass(frozen=True)
class _Options:
    location: str
    access: Access
    replace_known: bool
    skip_bad: bool
    made_of: tuple[str, ...]
    message: str | None
    workers: int | None
    dask: str | None
    progress: Progress
    patterns: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    irregular: str | None = None


@dataclass
class _Sorted:
    """What is to be done with parsed files: ``again`` by the number of the source to write over."""

    again: dict[int, ParsedFile]
    new: list[ParsedFile]


class _Run:
    def __init__(self, options: _Options, access: Access) -> None:
        self.options, self.access = options, access
        self.grown: list[str] = []
        self.stored: dict[str, ParsedFile] = {}
        self.once: dict[str, dict[str, xr.Variable]] = {}
        self.progress = options.progress

    def append(self, repository: icechunk.Repository, sources: list[Source]) -> Appended:
        found = Appended(as_url(self.options.location))
        started = datetime.now(UTC)
        session = repository.writable_session("main")
        held = self._held(repository, session)
        found.notes += held.notes
        metadata = held.metadata
        parsed = self._parse(_wanted(sources, metadata, found), metadata, found)
        todo = self._sort_out(parsed, session, metadata, found)
        grown = _grown_last(todo, metadata)
        again = {file.source.url for file in [*todo.again.values(), *(grown or ())]}
        stand_in = find_stand_in(session.store, metadata, again, self.access)
        if stand_in is not None:
            found.notes += stand_in.notes
            write_stand_in(session.store, metadata, stand_in, started)
        if grown is not None:
            metadata = _without_last(session.store, metadata, grown[0], started)
        more = _side_by_side([*(grown or ()), *todo.new], metadata)
        new = self._fitting(more, session.store, metadata)
        found.left_out += new.left_out
        is_adopted = bool(self.options.made_of)
        if not todo.again and not new.files and not is_adopted:
            return found
        if grown is not None and all(file is not grown[0] for file in new.files):
            raise Refused(new.left_out[0])
        files = [each for file in (*todo.again.values(), *new.files) for each in file.files]
        checksum = last_updated(started, [file.source for file in files]) if files else started
        repository = self._with_containers(repository, files, found)
        tip = session.snapshot_id
        session = repository.writable_session("main")
        if session.snapshot_id != tip:
            raise icechunk.ConflictError(tip, session.snapshot_id)
        if stand_in is not None:
            write_stand_in(session.store, held.metadata, stand_in, started)
        if grown is not None:
            metadata = _without_last(session.store, held.metadata, grown[0], checksum)
        old = len(metadata["sources"])
        if todo.again:
            found.references, metadata = replace_files(
                session.store, found.repository, metadata, todo.again, checksum, self.access
            )
        if new.files:
            metadata = self._write(session.store, new.files, metadata, checksum, found)
        if grown is not None:
            others = held.metadata["sources"][:-1]
            follow_files(session.store, metadata, new.files, others, self.access)
            found.appended = [url for url in found.appended if url not in found.replaced]
        self._compare(session.store, metadata, list(todo.again), old, held, found)
        check_unchanged([file.source for file in files], self.options.patterns, self.access)
        if found.containers:
            repository.save_config()
        # What the build counted is of the build.
        metadata = metadata.copy()
        metadata.pop("references", None)
        metadata.pop("bytes", None)
        write_ledger(session.store, metadata)
        counts = {
            "added": len(found.appended),
            "replaced": len(found.replaced),
            "renewed": len(found.renewed),
        }
        message = self.options.message or _describe(found)
        found.snapshot = session.commit(message, metadata=commit_metadata("append", **counts))
        return found

    def _held(self, repository: icechunk.Repository, session: icechunk.Session) -> Held:
        location = self.options.location
        if self.options.made_of:
            return self._taken_over(session)
        held = read_held(repository, session, location, self.access)
        if held is None:
            raise InputError(
                f"{location}: no commit of this tool is on main, so what it holds is unknown. Name "
                "the files that it was made of, and it is taken over if it reads as they do: "
                f"append FILE --repo {location} --source OLD_FILES"
            )
        metadata = held.metadata
        if metadata["concat_dim"] is None:
            raise InputError(
                f"{location}: was built without a record dimension, so nothing can follow: "
                "build it anew with --concat-dim NAME."
            )
        if metadata.get("moved"):
            old, new = metadata["moved"]
            self.access = replace(self.access, moved=(old, new))
        self.access = replace(self.access, select=tuple(metadata.get("select", ())))
        return held

    def _taken_over(self, session: icechunk.Session) -> Held:
        """A repository of others, once it reads as the files do that it was made of.

        What the files have and the store has not stays out of it.
        """
        named = list(self.options.made_of)
        sources = find_sources(named, self.access)
        parts = read_coordinates(sources[0], self.access)
        dimension = None
        if len(sources) == 1:  # the names of several tell it
            dimension = find_record_dimension(parts[0])
        held = set(array_paths(session.store))
        paths = (
            f"{part.group}/{name}".lstrip("/") for part in parts for name in part.dataset.variables
        )
        left_out = tuple(sorted(path for path in paths if path not in held))
        metadata = describe_named(
            session.store, named, self.access, concat_dim=dimension, skip=left_out
        )
        report = compare_store(
            session.store, metadata, self.access, progress=self.progress("compared")
        )
        if not report.passed:
            raise Refused(
                f"{self.options.location}: does not read as the files of --source do: "
                f"{report.failures[0]}. Nothing was committed."
            )
        metadata = complete_named(session.store, metadata, self.access)
        known = read_ledger(session.store)
        return Held({**metadata, "replaced": known["replaced"] if known else []}, None)

    def _with_containers(
        self, repository: icechunk.Repository, files: list[ParsedFile], found: Appended
    ) -> icechunk.Repository:
        held = set(repository.config.virtual_chunk_containers or {})
        urls = [file.data_url for file in files]
        options = self.options
        config = with_containers(
            repository.config, urls, self.access, options.patterns, options.prefixes
        )
        found.containers = sorted({*(config.virtual_chunk_containers or {})} - held)
        keys = authorization(config, self.options.location, self.access, found.containers)
        return repository.reopen(config=config, authorize_virtual_chunk_access=keys)

    def _refuse(self, sentence: str, found: Appended) -> None:
        if not self.options.skip_bad:
            raise Refused(sentence)
        found.left_out.append(sentence)

    def _parse(
        self, sources: list[Source], metadata: StoreMetadata, found: Appended
    ) -> list[ParsedFile]:
        if not sources:
            return []
        results = parse_files(
            sources,
            self.access,
            workers=self.options.workers,
            dask=self.options.dask,
            progress=self.progress("parsed"),
            **parsing_options(metadata),
        )
        for result in results:
            if isinstance(result, Unreadable):
                if not self.options.skip_bad:
                    raise InputError(f"{result.reason} Nothing was committed.")
                found.left_out.append(result.reason)
        parsed = [result for result in results if isinstance(result, ParsedFile)]
        dimension = metadata["concat_dim"]
        is_empty = [has_no_records(file, dimension) for file in parsed]
        pairs = list(zip(parsed, is_empty, strict=True))
        found.left_out += [no_records(file, dimension) for file, empty in pairs if empty]
        return [file for file, empty in pairs if not empty]

    def _sort_out(
        self,
        parsed: list[ParsedFile],
        session: icechunk.Session,
        metadata: StoreMetadata,
        found: Appended,
    ) -> _Sorted:
        """Which files take an old one's place, and which are new."""
        records = metadata["sources"]
        numbers = {record["url"]: number for number, record in enumerate(records)}
        todo = _Sorted({}, [])
        spans = _spans(session.store, metadata)
        prints = {
            record["fingerprint"]: record["url"] for record in records if record.get("fingerprint")
        }
        gone = {record["url"]: record for record in metadata["replaced"]}
        fresh: dict[str, ParsedFile] = {}
        for file in parsed:
            source = file.source
            if source.url in numbers:
                self._again(file, numbers[source.url], records, todo, found)
                continue
            if source.url in gone and is_same_content(gone[source.url], file):
                found.known[source.url] = f"{REPLACED} {gone[source.url]['by']}"
                continue
            url = prints.get(file.fingerprint or "", "")
            # Two large files may have the same fingerprint; then only their records tell.
            held = (
                _records(fresh[url], metadata) if url in fresh else spans.get(numbers.get(url, -1))
            )
            if url and _equal(_records(file, metadata), held):
                found.known[source.url] = url
            elif (number := _same_records(file, spans, metadata)) is not None:
                if self.options.replace_known:
                    rival = todo.again.get(number)
                    if rival is None or rival.source.last_modified < source.last_modified:
                        todo.again[number] = file
                        found.replaced.append(source.url)
                else:
                    self._refuse(
                        f"{source.url}: has the same {metadata['concat_dim']} as "
                        f"{records[number]['url']}, but other content. Let it take "
                        "that file's place with --replace, or leave it out.",
                        found,
                    )
            else:
                todo.new.append(file)
                if file.fingerprint:
                    prints[file.fingerprint] = source.url
                    fresh[source.url] = file
        written = {file.source.url for file in todo.again.values()}
        found.renewed = [url for url in found.renewed if url in written]
        found.replaced = [
            file.source.url for file in todo.again.values() if file.source.url not in found.renewed
        ]
        return todo

    def _again(
        self,
        file: ParsedFile,
        number: int,
        records: list[SourceRecord],
        todo: _Sorted,
        found: Appended,
    ) -> None:
        """A file that is in and was written again: with the same content, or with another."""
        url = file.source.url
        if is_same_content(records[number], file):
            todo.again[number] = file
            found.renewed.append(url)
        elif self.options.replace_known:
            todo.again[number] = file
        else:
            self._refuse(
                f"{url}: {what_changed(records[number], file.source)} when it was committed. Take "
                "its new state with --replace, or name only new files.",
                found,
            )

    def _fitting(
        self, files: list[ParsedFile], store: icechunk.IcechunkStore, metadata: StoreMetadata
    ) -> _Fitting:
        """Those that agree with the store in all that arrays share; raise for the first other."""
        fitting = _Fitting([], [])
        location = as_url(self.options.location)
        stored = {
            group: stored_file(store, location, group, kept)
            for group, kept in stored_groups(metadata).items()
        }
        once = {
            group: _static_values(store, group, kept)
            for group, kept in (stored_groups(metadata).items() if files else ())
        }
        parts = self._made_fit(files, stored, once, store, metadata)
        for file in files:
            problems = other_groups(file, location, metadata)
            for group, kept in stored_groups(metadata).items():
                part = parts[group][file.source.url]
                dimension = kept["concat_dim"] or metadata["concat_dim"] or NO_DIMENSION
                beside_it = expected_in_store(stored[group], part, kept)
                problems += compare_files(beside_it, part, dimension, self.access)
                problems += _order_problems(stored[group], part, kept, store)
                problems += _finer_times(stored[group], part, kept, store)
                if not problems:
                    problems += _other_values(part, once[group], location, self.access)
            if not problems:
                fitting.files.append(file)
                continue
            sentence = str(replace(problems[0], advice=BUILD_ANEW))
            if not self.options.skip_bad:
                raise Refused(sentence)
            fitting.left_out.append(sentence)
        if fitting.files and self._policy(metadata).irregular == "refuse":
            for group, kept in stored_groups(metadata).items():
                _check_last_chunk(stored[group], kept, fitting.files[0].source.url)
        return fitting

    def _policy(self, metadata: StoreMetadata) -> Policy:
        """What this run was told, or the build."""
        shares = [kept.get("tolerance", 0.0) for kept in metadata["groups"].values()]
        return Policy(self.options.irregular or metadata.get("irregular"), max(shares, default=0.0))

    def _made_fit(
        self,
        files: list[ParsedFile],
        stored: dict[str, ParsedFile],
        once: dict[str, dict[str, xr.Variable]],
        store: icechunk.IcechunkStore,
        metadata: StoreMetadata,
    ) -> dict[str, dict[str, ParsedFile]]:
        """By group and URL: new files in the form in which they can follow what is ``stored``.

        This gets the form that it will have then. ``once``: the values of what does not grow.
        """
        found = {}
        grown = grown_numbers(store, stored_groups(metadata))
        for group, kept in stored_groups(metadata).items():
            parts = [stored_part(file, group, kept) for file in files]
            dimension = kept["concat_dim"]
            if dimension is not None and parts:
                parts = with_missing(in_order(parts, dimension), dimension, stored[group])
                share = self._policy(metadata).tolerance
                known = {name: digest(variable) for name, variable in once[group].items()}
                parts = with_coordinates(parts, once[group], known, dimension, share)
                more = differing_scalars(parts) | _other_scalars(parts, once[group])
                grown += [f"{group}/{name}".lstrip("/") for name in more]
                names = Continued(grown=grown).grown_of(group)
                parts = [along_records(part, names, dimension) for part in parts]
                stored[group] = _with_grown(stored[group], more, parts[0], dimension)
                held = stored_layouts(store, group, kept)
                policy = self._policy(metadata)
                plan = make_plan(parts, held, dimension, policy, False, stored[group])
                if plan.choices and not self.options.skip_bad:
                    asked = question(parts[0].source.url, plan.choices)
                    raise Refused(f"{asked} Nothing was committed.")
                parts = fit(parts, plan, dimension, self.access, False)
                stored[group] = like_stored(stored[group], held, plan)
            found[group] = {part.source.url: part for part in parts}
        self.grown, self.stored, self.once = grown, dict(stored), once
        return found

    def _write(
        self,
        store: icechunk.IcechunkStore,
        files: list[ParsedFile],
        metadata: StoreMetadata,
        checksum: datetime,
        found: Appended,
    ) -> StoreMetadata:
        """Write new files behind the others; returns the metadata with them."""
        dimension = metadata["concat_dim"]
        datasets, order, differing = combine_groups(
            files,
            dimension,
            self.access,
            self.options.skip_bad,
            continued=Continued(
                self._policy(metadata),
                all_layouts(store, stored_groups(metadata)),
                self.grown,
                self.stored,
                self.once,
            ),
        )
        found.left_out += map(str, differing)
        kept = stored_groups(metadata)
        growing = [group for group in kept if kept[group]["concat_dim"] is not None]
        described = {group: describe(order, group, dimension) for group in kept}
        lengths = {group: each["lengths"] for group, each in described.items()}
        assert dimension is not None  # or nothing could follow
        found.references += append_datasets(
            store, datasets, growing, dimension, checksum, order, metadata["sources"]
        )
        found.ways = {
            f"{group}/{name}".lstrip("/"): way
            for group, each in described.items()
            for name, way in each.get("ways", {}).items()
        }
        found.appended = [each.source.url for file in order for each in file.files]
        found.lengths = {group or "/": sum(lengths[group]) for group in growing}
        steps = sorted({*found.lengths.values()})
        found.length = steps[0] if len(steps) == 1 else None
        records = [record for file in order for record in records_of(file, dimension)]
        return with_more(metadata, records, described)

    def _compare(
        self,
        store: icechunk.IcechunkStore,
        metadata: StoreMetadata,
        again: list[int],
        old: int,
        held: Held,
        found: Appended,
    ) -> None:
        """The store with its new files, beside these and the last old one that is still there.

        Where others have committed, beside a sample of all old ones.
        """
        records = metadata["sources"]
        total = len(records)
        picked = {*again, *(old + n for n in spread(total - old, DEFAULT_SAMPLE))}
        untouched = [number for number in range(old) if number not in again]
        picked.update(self._last_there(untouched, records, found))
        if held.others:
            picked.update(untouched[n] for n in spread(len(untouched), DEFAULT_SAMPLE))
        report = compare_store(
            store,
            metadata,
            self.access,
            numbers=sorted(number for number in picked if number < total),
            progress=self.progress("compared"),
        )
        if not report.passed:
            advice = f"{held.notes[0]}. {NAME_AGAIN}" if held.others else BUILD_ANEW
            raise Refused(
                f"The store would not read as its sources do: {report.failures[0]}. {advice}."
            )

    def _last_there(
        self, numbers: list[int], records: list[SourceRecord], found: Appended
    ) -> list[int]:
        """The last source that is as it was when it was committed; a note for those after it."""
        for number in numbers[: -LOOK_BACK - 1 : -1]:
            url = records[number]["url"]
            try:
                what = what_changed(records[number], look_up(url, self.access))
            except FileNotFoundError:
                what = "is gone"
            if not what:
                return [number]
            found.notes.append(
                f"{url}: {what}: its values in the store cannot be read any more. See "
                "virtual_zarr.py refresh"
            )
        return []


@dataclass
class _Fitting:
    files: list[ParsedFile]
    left_out: list[str]


def _describe(found: Appended) -> str:
    """The message of a commit."""
    parts = [
        f"{len(found.appended)} more files" if found.appended else "",
        f"{len(found.replaced)} replaced" if found.replaced else "",
        f"{len(found.renewed)} renewed" if found.renewed else "",
    ]
    return ", ".join(part for part in parts if part) or "taken over"


def _wanted(sources: list[Source], metadata: StoreMetadata, found: Appended) -> list[Source]:
    """The files that have to be looked into: new ones, and those that changed since."""
    wanted = []
    held = {record["url"]: record for record in metadata["sources"]}
    gone = {record["url"]: record for record in metadata["replaced"]}
    for source in sources:
        record = held.get(source.url) or gone.get(source.url)
        if record is None or what_changed(record, source):
            wanted.append(source)
        elif source.url in held:
            found.known[source.url] = source.url
        else:
            found.known[source.url] = f"{REPLACED} {gone[source.url]['by']}"
    return wanted


def _grown_last(todo: _Sorted, metadata: StoreMetadata) -> list[ParsedFile] | None:
    """The last file, where it has other records now: it is taken out of ``todo.again``.

    Nothing follows it, so it can leave the store and come back as a new one.
    """
    last = len(metadata["sources"]) - 1
    file = todo.again.get(last)
    if file is None or "variables" in metadata["sources"][last]:
        return None  # others of its records lie beside it
    if all(
        kept["concat_dim"] is None
        or stored_part(file, group, kept).dataset.sizes.get(kept["concat_dim"], 1)
        == kept["sources"][last]["length"]
        for group, kept in stored_groups(metadata).items()
    ):
        return None
    return [todo.again.pop(last)]


def _without_last(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, file: ParsedFile, checksum: datetime
) -> StoreMetadata:
    """Take the records of the last source out of a store; returns the metadata without it.

    What is stored once and lies in it gets the places that it has in the ``file`` of today.
    """
    last = len(metadata["sources"]) - 1
    for group, kept in stored_groups(metadata).items():
        write_static(store, stored_part(file, group, kept), kept, last, checksum)
        if kept["concat_dim"] is None:
            continue
        length = sum(record["length"] for record in kept["sources"][:-1])
        for _, array in zarr.open_group(store, path=group, mode="r+").arrays():
            names = dimension_names(array)
            if kept["concat_dim"] in names:
                at = names.index(kept["concat_dim"])
                array.resize((*array.shape[:at], length, *array.shape[at + 1 :]))
    groups: dict[str, GroupRecord] = {
        path: {**kept, "lengths": kept["lengths"][:-1]} for path, kept in metadata["groups"].items()
    }
    return {**metadata, "sources": metadata["sources"][:-1], "groups": groups}


Records = dict[str, tuple[object, np.ndarray]]
"""By group: the units, where they are not decoded, and the values of a record coordinate."""


def _spans(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> dict[int, Records]:
    """The records of each source, by its number, in groups that have a coordinate for them."""
    found: dict[int, Records] = {number: {} for number in range(len(metadata["sources"]))}
    for group, kept in stored_groups(metadata).items():
        coordinate = open_store(store, group).coords.get(kept["concat_dim"])
        if coordinate is None:
            continue
        for number in found:
            values = coordinate.values[span_of(kept, number)]
            found[number][group] = (coordinate.attrs.get("units"), values)
    return found


def _records(file: ParsedFile, metadata: StoreMetadata) -> Records:
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
    file: ParsedFile, spans: dict[int, Records], metadata: StoreMetadata
) -> int | None:
    """The number of the source that has just this file's records."""
    mine = _records(file, metadata)
    if not mine:
        return None
    found = [number for number, held in spans.items() if _equal(mine, held)]
    names = sorted(map(str, file.dataset.variables))
    sources = metadata["sources"]
    own = [number for number in found if sources[number].get("variables", names) == names]
    return next(iter([*own, *found]), None)


def _side_by_side(files: list[ParsedFile], metadata: StoreMetadata) -> list[ParsedFile]:
    """Files of the same records as one, where the store has such."""
    dimension = metadata["concat_dim"]
    if dimension is None or not any("variables" in record for record in metadata["sources"]):
        return files
    return merge_columns(files, dimension) if are_columns(files) else files


def _order_problems(
    stored: ParsedFile, part: ParsedFile, kept: GroupInStore, store: icechunk.IcechunkStore
) -> list[Difference]:
    dimension = kept["concat_dim"]
    if dimension is None or dimension not in part.dataset.indexes:
        return []
    held = open_store(store, stored.group)
    if dimension not in held.indexes or not len(held.indexes[dimension]):
        return []
    before = replace(stored, dataset=xr.Dataset(coords={dimension: held[dimension]}))
    try:
        problem = order_problem(before, part, dimension)
    except TypeError:  # dates of two calendars
        mine, theirs = (file.packing[dimension].get("calendar") for file in (part, stored))
        url = part.source.url
        return [Difference(url, dimension, "calendar", mine, theirs, stored.source.url)]
    return [problem] if problem else []


def _static_values(
    store: icechunk.IcechunkStore, group: str, kept: GroupInStore
) -> dict[str, xr.Variable]:
    """What is stored once; without what cannot be read, of which the last comparison will tell."""
    found = {}
    for name, variable in open_store(store, group).variables.items():
        if kept["concat_dim"] not in variable.dims:
            with suppress(icechunk.IcechunkError):
                found[str(name)] = variable.load()
    return found


def _other_scalars(parts: list[ParsedFile], once: dict[str, xr.Variable]) -> set[str]:
    """Scalars that the store has once, and that are others in one of several new files."""
    held = {name: digest(variable) for name, variable in once.items() if not variable.ndim}
    return {
        name
        for part in parts
        for name, expected in part.digests.items()
        if name in held
        and name in part.scalars
        and held[name] != expected
        and np.any(mismatch(once[name].values, part.scalars[name].values, tolerance(once[name])))
    }


def _with_grown(
    stored: ParsedFile, names: set[str], part: ParsedFile, dimension: str
) -> ParsedFile:
    """The stored group as it is once its scalars of these ``names`` are as those of a file are."""
    shape = (stored.dataset.sizes[dimension],)
    new = {
        name: xr.Variable(
            (dimension,), np.broadcast_to(np.empty((), part.dataset[name].dtype), shape)
        )
        for name in names
        if not stored.dataset[name].ndim
    }
    return replace(stored, dataset=stored.dataset.drop_vars(list(new)).assign(new))


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
    with open_native(content, part.file_format, part.group, part.dropped) as native:
        for name in names:
            mine, theirs = native[name].values, held[name].values
            differ = np.atleast_1d(mismatch(theirs, mine, tolerance(native[name])))
            if differ.any():
                index = tuple(np.argwhere(differ)[0][: mine.ndim])
                values = (mine[index], theirs[index])
                found.append(Difference(part.source.url, name, "the value", *values, location))
    return found


def _finer_times(
    stored: ParsedFile, part: ParsedFile, kept: GroupInStore, store: icechunk.IcechunkStore
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


def _check_last_chunk(stored: ParsedFile, kept: GroupInStore, url: str) -> None:
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
