"""From patterns to a verified repository: find, parse, check, combine, write, compare.

Many files are written in batches, each a commit on a branch of its own; main shows them when all
are there. A build that was stopped goes on where it stood when it is run again.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import icechunk
import xarray as xr
import zarr

import vzarr
from vzarr.combine.combine import Boundary, Continued
from vzarr.combine.copied import Share, show_bytes, weigh
from vzarr.combine.groups import combine_groups, describe, part_of, stored_groups
from vzarr.combine.merge import are_columns, merge_columns, records_of
from vzarr.combine.plan import NO_CHOICE, Policy
from vzarr.combine.record_dimension import find_record_dimension, has_no_records, no_records
from vzarr.combine.store_metadata import GroupInStore, Plan, StoreMetadata
from vzarr.combine.times import finer_unit
from vzarr.errors import InputError, Refused
from vzarr.formats.registry import FORMATS
from vzarr.progress import Progress, silent
from vzarr.repository.append_datasets import append_datasets
from vzarr.repository.claim import BUILDING, Claim
from vzarr.repository.create import (
    Unfinished,
    claimed,
    create_repository,
    discard,
    finish,
    look,
    write_datasets,
)
from vzarr.repository.history import (
    check_unchanged,
    commit_metadata,
    read_held,
    what_changed,
    with_more,
)
from vzarr.repository.layouts import all_layouts, grown_numbers, open_arrays, told_ways
from vzarr.repository.ledger import write_ledger
from vzarr.repository.open import open_any_repository
from vzarr.repository.splitting import manifest_config
from vzarr.sources.discover import Source, SourceRecord, find_sources, last_updated
from vzarr.sources.prefixes import as_prefix, container_prefixes
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming
from vzarr.upstream.virtualizarr import referred_urls
from vzarr.verification.open import open_store, spread
from vzarr.verification.references import follow
from vzarr.verification.store import compare_store
from vzarr.virtualize.model import ParsedFile, Unreadable, is_virtual
from vzarr.virtualize.names import check_names
from vzarr.virtualize.pool import Options, Parsing
from vzarr.virtualize.read_coordinates import read_coordinates

BATCH = 500
"""Files in a commit of a build, at most."""


REFERENCES = 500_000
"""References in a commit of a build, about: each takes 1 kB of memory, and the time of a commit
grows with its references times its manifests (``benchmarks``, writing)."""


SAMPLE, SAMPLE_OF_BATCH = 3, 2
"""Files that are compared with the store, of all or of each batch: verify compares more."""


@dataclass
class Built:
    """What ``build`` made.

    ``loaded`` are coordinates, kept as numbers by design; ``native`` gives the reason for each
    variable that had to be copied; ``share`` how much is virtual and how much was copied;
    ``left_out`` the sentence for each file that is not in it;
    ``resumed`` the number of files that an earlier run had written; ``containers`` the prefixes
    that readers have to authorize; ``ways`` how variables whose chunks fill no regular grid became
    one array (``vzarr.combine.plan.Way``).
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
    resumed: int = 0
    containers: list[str] = field(default_factory=list)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)
    share: Share = field(default_factory=Share)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        found = asdict(self)
        found.pop("share")
        return {**found, "bytes": self.share.as_json()}


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
    batch: int | None = None,
    dask: str | None = None,
    everything: bool = False,
    allow_copy: int | None = None,
    irregular: str | None = None,
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Built:
    """Make a repository over files; refuse what would read wrong before main shows it.

    ``allow_copy``: bytes that may be copied; without it 10 MB, or half of all. ``irregular``: one
    of ``vzarr.combine.plan.WAYS``, for files whose chunks fill no regular grid. ``workers`` and
    ``dask`` as in ``vzarr.virtualize.pool.Parsing``; ``batch`` files make a commit.
    ``everything``: of Kerchunk references, compare all files that they lead to. ``prefixes`` are
    what readers authorize, one for each place; by default as in ``vzarr.sources.prefixes``.

    Raises
    ------
    InputError
        For patterns without a match, an unreadable file, a place that is taken, a name of ``drop``
        or ``groups`` that no file has.
    Refused
        For files that differ, and if the store does not read as its sources do.
    """
    prefixes = tuple(map(as_prefix, prefixes))
    with claimed(repository, access, progress("waited for another build")) as claim:
        sources = find_sources(patterns, access)
        access = naming(access, patterns)
        drop, groups = (tuple(name.strip("/") for name in names) for names in (drop, groups))
        check_names(sources, access, drop, groups)
        run = _Build(
            claim,
            access,
            sources,
            drop,
            groups,
            skip_bad,
            message,
            everything,
            progress,
            allow_copy,
        )
        run.patterns, run.prefixes = tuple(patterns), prefixes
        run.policy = Policy(irregular)
        run.plan = Plan(
            concat_dim=concat_dim,
            drop=sorted(drop),
            groups=sorted(groups),
            prefixes=sorted(prefixes),
        )
        if access.select:
            run.plan["select"] = sorted(access.select)
        place = look(repository, access)
        if place.names and not (place.unfinished and run.take_up(place.unfinished)):
            discard(claim, access)
        if run.repository is None:
            run.dimension = concat_dim or _guess_dimension(sources, access, drop, groups)
        options = Options(access, drop, run.dimension, groups)
        with Parsing(options, workers, dask) as parsing:
            try:
                run.write(parsing, batch or BATCH)
            except _AllAtOnce:
                # Names do not tell the order of the records: all have to be known to find it.
                run.start_anew()
                run.write(parsing, len(sources), in_parts=False)
        return run.built()


class _AllAtOnce(Exception):
    """These files cannot be written in batches, in the order of their names."""


@dataclass
class _Build:
    """One run. ``metadata`` is of all files that are written, on the build's branch at ``tip``."""

    claim: Claim
    access: Access
    sources: list[Source]
    drop: tuple[str, ...]
    groups: tuple[str, ...]
    skip_bad: bool
    message: str | None
    everything: bool
    progress: Progress
    allow_copy: int | None
    plan: Plan = field(
        default_factory=lambda: Plan(concat_dim=None, drop=[], groups=[], prefixes=[])
    )
    dimension: str | None = None
    repository: icechunk.Repository | None = None
    metadata: StoreMetadata | None = None
    tip: str = ""
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    before: Boundary | None = None
    resumed: int = 0
    sample: int = SAMPLE
    share: Share = field(default_factory=Share)
    patterns: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    policy: Policy = NO_CHOICE

    @property
    def location(self) -> str:
        return self.claim.location

    def take_up(self, unfinished: Unfinished) -> bool:
        """Go on with what an earlier run has written; False if that does not fit."""
        session = unfinished.repository.readonly_session(BUILDING)
        held = read_held(unfinished.repository, session, self.location, self.access)
        if held is None or held.metadata.get("plan") != self.plan:
            return False
        metadata = held.metadata
        left_out = metadata.get("left_out", {})
        done = len(metadata["sources"]) + len(left_out)
        records = {record["url"]: record for record in metadata["sources"]}
        for source in self.sources[:done]:
            record = records.get(source.url)
            if source.url not in left_out and (record is None or what_changed(record, source)):
                return False
        self.repository, self.tip, self.metadata = unfinished.repository, unfinished.tip, metadata
        self.dimension, self.left_out = metadata["concat_dim"], dict(left_out)
        self.resumed = len(metadata["sources"])
        self.share = Share(**metadata["bytes"])
        return True

    def start_anew(self) -> None:
        discard(self.claim, self.access)
        self.repository = self.metadata = self.before = None
        self.tip, self.resumed = "", 0
        self.notes, self.left_out, self.share = [], {}, Share()

    def write(self, parsing: Parsing, batch: int, in_parts: bool = True) -> None:
        """Write what is not written yet, and let main show all of it.

        ``in_parts``: batches of very many references in several commits.
        """
        total = len(self.sources)
        done = 0
        if self.metadata is not None:
            done = len(self.metadata["sources"]) + len(self.left_out)
            self._recall(parsing)
        size = total if self.dimension is None else batch
        sample = SAMPLE if total - done <= size else SAMPLE_OF_BATCH
        show = self.progress("parsed")
        written = done
        try:
            while done < total:
                files = self.sources[done : done + size]
                started = datetime.now(UTC)

                def parsed(count: int, begun: int = done) -> None:
                    show(begun + count, total)

                following = total - done - len(files)
                results = parsing.parse(files, parsed, following)
                in_parts = in_parts and self.dimension is not None
                parts = list(_parts(results)) if in_parts else [results]
                for number, part in enumerate(parts, 1):
                    at_an_end = number in (1, len(parts))
                    self.sample = sample if len(parts) == 1 else int(at_an_end)
                    done += len(part)
                    self._write_batch(part, started, more_follow=done < total)
                    written = done
        except (InputError, Refused) as error:
            if not written:
                raise
            raise type(error)(
                f"{error} {written} of {total} files are written, but nothing is on main: the same "
                "command goes on from there."
            ) from error
        if self.repository is None or self.metadata is None:
            raise Refused(f"No file is left to build from: {next(iter(self.left_out.values()))}")
        urls = {record["url"] for record in self.metadata["sources"]}
        kept = [source for source in self.sources if source.url in urls]
        check_unchanged(kept, self.patterns, self.access)
        finish(self.repository, self.tip, self.claim)
        if self.resumed and self.claim.since:  # what a stopped run wrote and never committed
            with suppress(icechunk.IcechunkError):  # harmless where it may not be deleted
                self.repository.garbage_collect(self.claim.since)

    def _recall(self, parsing: Parsing) -> None:
        """The first and the last file that are written, to compare others with."""
        assert self.metadata is not None
        by_url = {source.url: source for source in self.sources}
        records = self.metadata["sources"]
        ends = [by_url[records[0]["url"]], by_url[records[-1]["url"]]]
        parsed: list[ParsedFile] = []
        for result in parsing.parse(ends):
            if isinstance(result, Unreadable):
                raise InputError(result.reason)
            parsed.append(result)
        self.before = Boundary(parsed[0], parsed[1])

    def _write_batch(
        self, results: list[ParsedFile | Unreadable], started: datetime, more_follow: bool
    ) -> None:
        unreadable = {
            result.source.url: result.reason for result in results if isinstance(result, Unreadable)
        }
        good = [result for result in results if isinstance(result, ParsedFile)]
        if unreadable and not (self.skip_bad and (good or self.before)):
            more = f" ({len(unreadable) - 1} more files.)" if len(unreadable) > 1 else ""
            raise InputError(next(iter(unreadable.values())) + more)
        self.left_out |= unreadable
        is_empty = {file.source.url: has_no_records(file, self.dimension) for file in good}
        for file in good:
            if is_empty[file.source.url]:
                self.left_out[file.source.url] = no_records(file, self.dimension)
        good = [file for file in good if not is_empty[file.source.url]]
        if not good:
            return
        if self.dimension is not None and are_columns(self._with_first(good)):
            if more_follow or self.before is not None:
                raise _AllAtOnce
            good = merge_columns(good, self.dimension)
            self.notes.append(_note_columns(good))
        refer = any(FORMATS[file.file_format].references for file in good)
        if self._is_out_of_order(good) or (refer and more_follow):
            raise _AllAtOnce
        if self.metadata is None and self.dimension and not _has(good[0], self.dimension):
            self.notes.append(
                f"no file has a dimension or variable {self.dimension}: it is a new dimension, "
                "along which each file is one step"
            )
        datasets, files, differing = combine_groups(
            good,
            self.dimension,
            self.access,
            self.skip_bad,
            self.before,
            more_follow,
            self._continued(),
        )
        self.left_out |= {problem.url: problem.reason for problem in differing}
        if not files:
            return
        self.notes += [note for file in files for g in datasets for note in part_of(file, g).notes]
        self._weigh(datasets, files)
        checksum = last_updated(started, [each.source for file in files for each in file.files])
        if self.metadata is None:
            self._write_first(datasets, files, checksum)
        else:
            self._write_more(datasets, files, checksum)
        self.before = Boundary(self.before.first if self.before else files[0], files[-1])

    def _with_first(self, files: list[ParsedFile]) -> list[ParsedFile]:
        """Files, and the first of those that are written."""
        return [self.before.first, *files] if self.before else files

    def _records_of(self, files: list[ParsedFile]) -> list[SourceRecord]:
        return [record for file in files for record in records_of(file, self.dimension)]

    def _continued(self) -> Continued:
        """What is written, and how more may be made fit for it."""
        if self.metadata is None:
            return Continued(self.policy)
        assert self.repository is not None
        store = self.repository.readonly_session(snapshot_id=self.tip).store
        groups = stored_groups(self.metadata)
        return Continued(self.policy, all_layouts(store, groups), grown_numbers(store, groups))

    def _weigh(self, datasets: dict[str, xr.Dataset], files: list[ParsedFile]) -> None:
        """Refuse a copy that nobody asked for."""
        native = {group: describe(files, group, self.dimension)["native"] for group in datasets}
        only = None if self.metadata is None else self.dimension
        self.share += weigh(datasets, native, only, chosen=self.policy.irregular is not None)
        if self.allow_copy is None:
            if not self.share.needs_a_word:
                return
        elif self.share.native - self.share.chosen <= self.allow_copy or not self.share.names:
            return
        done = len(files) + (len(self.metadata["sources"]) if self.metadata else 0)
        needed = self.share.native * max(1.0, (len(self.sources) - len(self.left_out)) / done)
        path = max(sorted(self.share.names), key=self.share.names.__getitem__)
        group, _, name = path.rpartition("/")
        others = len(self.share.names) - 1
        more = f", and {others} more" if others else ""
        raise Refused(
            f"{self.location}: about {show_bytes(int(needed))} would be copied, "
            f"{show_bytes(self.share.virtual)} of these files would be virtual ({path}: "
            f"{native[group][name]}{more}). Copy with --allow-copy {show_bytes(int(needed))}, or "
            f"leave variables out, as with --drop {shlex.quote(path)}."
        )

    def _is_out_of_order(self, files: list[ParsedFile]) -> bool:
        if self.before is None or self.dimension is None:
            return False
        index = self.before.last.dataset.indexes.get(self.dimension)
        found = [file.dataset.indexes.get(self.dimension) for file in files]
        firsts = [first for first in found if first is not None and len(first)]
        if index is None or len(firsts) < len(found):
            return False
        try:
            return min(first[0] for first in firsts) <= index[-1]
        except TypeError:  # two calendars: the comparison of the files will say so
            return False

    def _write_first(
        self, datasets: dict[str, xr.Dataset], files: list[ParsedFile], checksum: datetime
    ) -> None:
        metadata = _metadata(files, self.dimension, datasets)
        assert self.plan is not None
        metadata["plan"] = self.plan
        metadata["irregular"] = self.policy.irregular
        metadata["left_out"] = dict(self.left_out)
        metadata["bytes"] = self.share.as_json()
        if self.access.select:
            metadata["select"] = list(self.access.select)
        places = _places(files, datasets)
        if len(files) < len(self.sources):
            places = sorted({*places, *(source.url for source in self.sources)})
        refer = any(FORMATS[file.file_format].references for file in files)
        prefixes = container_prefixes(places, () if refer else self.patterns, self.prefixes)
        manifest = manifest_config(datasets, metadata["concat_dim"])
        self.repository = create_repository(self.claim, prefixes, self.access, manifest)
        session = self.repository.writable_session(BUILDING)
        metadata["references"] = write_datasets(session.store, datasets, checksum)
        self._compare(session.store, metadata, range(len(metadata["sources"])))
        if refer:
            followed = follow(
                session.store,
                metadata,
                self.access,
                everything=self.everything,
                progress=self.progress("followed"),
            )
            metadata = followed.metadata
            self.notes += followed.notes
        self._commit(session, metadata, len(files))

    def _write_more(
        self, datasets: dict[str, xr.Dataset], files: list[ParsedFile], checksum: datetime
    ) -> None:
        # One that is kept keeps 170 bytes of each reference that it has committed.
        assert self.metadata is not None
        assert self.dimension is not None
        self.repository = open_any_repository(self.location, self.access)
        session = self.repository.writable_session(BUILDING)
        kept = stored_groups(self.metadata)
        growing = [group for group in kept if kept[group]["concat_dim"] is not None]
        self._check_times(session.store, files, growing)
        references = append_datasets(
            session.store,
            datasets,
            growing,
            self.dimension,
            checksum,
            files,
            self.metadata["sources"],
        )
        described = {group: describe(files, group, self.dimension) for group in kept}
        metadata = with_more(self.metadata, self._records_of(files), described)
        metadata["left_out"] = dict(self.left_out)
        metadata["bytes"] = self.share.as_json()
        metadata["references"] += references
        new = range(len(self.metadata["sources"]), len(metadata["sources"]))
        self._compare(session.store, metadata, new)
        self._commit(session, metadata, len(files))

    def _check_times(
        self, store: icechunk.IcechunkStore, files: list[ParsedFile], growing: list[str]
    ) -> None:
        for group, file in itertools.product(growing, files):
            for name, variable in part_of(file, group).dataset.variables.items():
                if self.dimension not in variable.dims or is_virtual(variable):
                    continue
                path = f"{group}/{name}".lstrip("/")
                if units := finer_unit(variable, zarr.open_array(store, path=path, mode="r")):
                    raise Refused(
                        f"{file.source.url}: {path}: the resolution of its times is {units[0]}, "
                        f"but {units[1]} in the files written before. Build in another place, all "
                        f"at once: --batch {len(self.sources)}."
                    )

    def _compare(
        self, store: icechunk.IcechunkStore, metadata: StoreMetadata, numbers: range
    ) -> None:
        """A sample of the files that are new, as they read in the store."""
        if not self.sample:
            return
        report = compare_store(
            store,
            metadata,
            self.access,
            numbers=[numbers[n] for n in spread(len(numbers), self.sample)],
            progress=(self.progress if self.sample == SAMPLE else silent)("compared"),
        )
        if not report.passed:
            raise Refused(
                f"The store would not read as its sources do: {report.failures[0]}. "
                "Nothing was committed; leave it out with --drop."
            )

    def _commit(self, session: icechunk.Session, metadata: StoreMetadata, added: int) -> None:
        done, total = len(metadata["sources"]), len(self.sources)
        message = self.message or f"{total - len(self.left_out)} files"
        if done < total - len(self.left_out) or self.metadata is not None:
            message += f" ({done} of {total})"
        write_ledger(session.store, metadata)
        self.claim.check()
        try:
            self.tip = session.commit(message, metadata=commit_metadata("build", added=added))
        except icechunk.ConflictError as error:
            raise Refused(
                f"{self.location}: another build writes there. Let it end, or name another place "
                "with --repo."
            ) from error
        self.claim.keeps = True
        self.metadata = metadata

    def built(self) -> Built:
        metadata = self.metadata
        assert metadata is not None, "write refuses to end without"
        stored = list(stored_groups(metadata).items())
        repository = open_any_repository(self.location, self.access)
        store = repository.readonly_session("main").store
        sizes = {
            _path(group, name): size
            for group, _ in stored
            for name, size in sorted(open_store(store, group).sizes.items())
        }
        return Built(
            repository=as_url(self.location),
            snapshot=self.tip,
            concat_dim=metadata["concat_dim"],
            sizes=sizes,
            sources=[record["url"] for record in metadata["sources"]],
            references=metadata["references"],
            virtual=[_path(group, name) for group, kept in stored for name in kept["virtual"]],
            loaded=[_path(group, name) for group, kept in stored for name in kept["loaded"]],
            native=_by_path(stored, "native"),
            dropped=_by_path(stored, "dropped"),
            ways={
                _path(group, name): way
                for group, kept in stored
                for name, way in told_ways(kept, open_arrays(store, group)).items()
            },
            notes=list(dict.fromkeys(self.notes)),
            left_out=list(self.left_out.values()),
            resumed=self.resumed,
            containers=sorted(repository.config.virtual_chunk_containers or {}),
            share=self.share,
        )


def _path(group: str, name: object) -> str:
    return f"{group}/{name}" if group else str(name)


def _by_path(
    stored: list[tuple[str, GroupInStore]], key: Literal["native", "dropped"]
) -> dict[str, str]:
    return {_path(group, name): why for group, kept in stored for name, why in kept[key].items()}


def _parts(results: list[ParsedFile | Unreadable]) -> Iterator[list[ParsedFile | Unreadable]]:
    """Files that follow one another, in parts of about ``REFERENCES``."""
    part: list[ParsedFile | Unreadable] = []
    held = 0
    for result in results:
        count = result.references if isinstance(result, ParsedFile) else 0
        if held and held + count > REFERENCES:
            yield part
            part, held = [], 0
        part.append(result)
        held += count
    yield part


def _note_columns(files: list[ParsedFile]) -> str:
    names = ", ".join(each.source.name for each in files[0].files)
    return (
        f"files of the same records lie side by side, each with its variables, as {names}: "
        f"{len(files[0].files)} in each of {len(files)} places"
    )


def _has(file: ParsedFile, dimension: str) -> bool:
    """A dimension of that name, or a variable, in any group."""
    names = {*file.dataset.sizes, *file.dataset.variables}
    return dimension in names or any(_has(part, dimension) for part in file.children.values())


def _places(files: list[ParsedFile], datasets: dict[str, xr.Dataset]) -> list[str]:
    """The URLs that references lead to: the sources, or what these refer to themselves."""
    places = {each.data_url for file in files for each in file.files}
    if any(FORMATS[file.file_format].references for file in files):
        for dataset in datasets.values():
            for variable in dataset.variables.values():
                if is_virtual(variable):
                    places |= referred_urls(variable.data.manifest)
    return sorted(places)


def _guess_dimension(
    sources: list[Source], access: Access, drop: tuple[str, ...], groups: tuple[str, ...]
) -> str | None:
    """The record dimension of the first file that can be read, in the first group that has one.

    Of a single file the dimension along which others may be appended, if it has one.
    """
    reason = ""
    for source in sources:
        try:
            parts = read_coordinates(source, access, drop, groups)
        except (InputError, Refused) as error:
            reason = reason or str(error)
            continue
        if len(sources) == 1:
            return _dimension_to_grow(parts)
        first: InputError | None = None
        for part in parts:
            try:
                return find_record_dimension(part)
            except InputError as error:
                first = first or error
        assert first is not None, "read_coordinates returns a group, or raises"
        raise first
    raise InputError(reason)


def _dimension_to_grow(parts: list[ParsedFile]) -> str | None:
    if len(parts) > 1:
        return None
    try:
        found = find_record_dimension(parts[0])
    except InputError:
        return None
    dataset = parts[0].dataset
    return found if found in dataset.coords and dataset.sizes.get(found) else None


def _metadata(
    files: list[ParsedFile], concat_dim: str | None, datasets: dict[str, xr.Dataset]
) -> StoreMetadata:
    """What the ledger keeps, for ``verify`` and for appends to come."""
    root_is_empty = len(datasets) > 1 and not datasets[""].variables
    paths = [path for path in datasets if path or not root_is_empty]
    return {
        "version": vzarr.__version__,
        "concat_dim": concat_dim,
        "sources": [record for file in files for record in records_of(file, concat_dim)],
        "replaced": [],
        "groups": {path: describe(files, path, concat_dim) for path in paths},
    }
