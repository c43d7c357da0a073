"""From patterns to a verified repository: find, parse, check, combine, write, compare.

Many files are written in batches, each a commit on a branch of its own; main shows them when all
are there. A build that was stopped goes on where it stood when it is run again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import icechunk

from vzarr.changes.build_batch import AllAtOnce, parts_of, with_given, write_batch
from vzarr.changes.build_commit import SAMPLE, SAMPLE_OF_BATCH
from vzarr.changes.build_state import BuildRequest, BuildState, Built
from vzarr.combine.combine import Boundary
from vzarr.combine.copied import Share
from vzarr.combine.groups import stored_groups
from vzarr.combine.lacking import outermost
from vzarr.combine.named_coordinates import named_coordinates
from vzarr.combine.plan import Policy
from vzarr.combine.record_dimension import find_record_dimension
from vzarr.combine.store_metadata import GroupInStore, GroupRecord
from vzarr.combine.undecided import advice
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress, silent
from vzarr.repository.claim import BUILDING, Claim
from vzarr.repository.create import Unfinished, claimed, discard, finish, look
from vzarr.repository.history import check_unchanged, read_held, what_changed
from vzarr.repository.layouts import open_arrays, told_ways
from vzarr.repository.open import open_any_repository
from vzarr.sources.discover import Source, find_sources
from vzarr.sources.prefixes import as_prefix
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming
from vzarr.verification.open import open_store
from vzarr.virtualize.model import ParsedFile, Unreadable
from vzarr.virtualize.names import check_names
from vzarr.virtualize.pool import Options, Parsing
from vzarr.virtualize.read_coordinates import read_coordinates

BATCH = 500
"""Files in a commit of a build, at most."""


def build(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    concat_dim: str | None = None,
    inner: str | None = None,
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
    tolerance: float = 0.0,
    overlap: str | None = None,
    packing: str | None = None,
    coord: tuple[str, ...] = (),
    coord_table: str | None = None,
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Built:
    """Make a repository over files; refuse what would read wrong before main shows it.

    ``inner``: a second dimension, along which files of the same records along ``concat_dim`` lie.
    ``allow_copy``: bytes that may be copied; without it 10 MB, or half of all. ``irregular``: one
    of ``vzarr.combine.plan.WAYS``, for files whose chunks fill no regular grid. ``overlap``:
    whose steps stay where neighbours repeat some, "first" or "last". ``packing``:
    "raw" for variables that each file packs in its way, as they are. ``coord`` and ``coord_table``
    as in ``vzarr.combine.named_coordinates``. ``workers`` and
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
    coordinates = named_coordinates(coord, coord_table)
    with claimed(location, access, progress("waited for another build")) as claim:
        sources = find_sources(patterns, access)
        access = naming(access, patterns)
        drop, groups = (tuple(name.strip("/") for name in names) for names in (drop, groups))
        check_names(sources, access, drop, groups)
        request = BuildRequest(
            location=location,
            access=access,
            patterns=tuple(patterns),
            sources=tuple(sources),
            concat_dim=concat_dim,
            inner=inner,
            drop=drop,
            groups=groups,
            skip_bad=skip_bad,
            message=message,
            everything=everything,
            allow_copy=allow_copy,
            prefixes=prefixes,
            progress=progress,
            policy=Policy(irregular, tolerance, overlap, packing),
            coordinates=coordinates,
        )
        place = look(location, access)
        state = resume(request, place.unfinished) if place.unfinished else None
        if place.names and state is None:
            discard(claim, access)
        if state is None:
            told = concat_dim or next(iter(coordinates.names), None)
            dimension = told or _guess_dimension(sources, access, drop, groups)
            state = BuildState(dimension)
        options = Options(access, drop, state.dimension, groups)
        with Parsing(options, workers, dask) as parsing:
            written = _write_batches(request, claim, state, parsing, batch or BATCH)
            if isinstance(written, AllAtOnce):
                # Names do not tell the order of the records: all have to be known to find it.
                discard(claim, access)
                anew = BuildState(state.dimension)
                every = len(sources)
                written = _write_batches(request, claim, anew, parsing, every, in_parts=False)
                assert not isinstance(written, AllAtOnce), "there is one batch, and nothing before"
        _publish(request, claim, written)
        return _built(request, written)


def resume(request: BuildRequest, unfinished: Unfinished) -> BuildState | None:
    """The state that an earlier run of the same call has reached; None if it was another call.

    Nor if a file has changed since.
    """
    session = unfinished.repository.readonly_session(BUILDING)
    account = read_held(unfinished.repository, session, request.location, request.access)
    # Somebody else may have begun it, with containers that lead elsewhere: refused before anything.
    repository = open_any_repository(request.location, request.access)
    if account is None or account.metadata.get("plan") != request.plan:
        return None
    metadata = account.metadata
    left_out = metadata.get("left_out", {})
    records = {record["url"]: record for record in metadata["sources"]}
    for source in request.sources[: len(records) + len(left_out)]:
        record = records.get(source.url)
        if source.url not in left_out and (record is None or what_changed(record, source)):
            return None
    return BuildState(
        dimension=metadata["concat_dim"],
        repository=repository,
        metadata=metadata,
        tip=unfinished.tip,
        left_out=dict(left_out),
        resumed=len(metadata["sources"]),
        share=Share(**metadata["bytes"]),
    )


def _write_batches(
    request: BuildRequest,
    claim: Claim,
    state: BuildState,
    parsing: Parsing,
    batch: int,
    in_parts: bool = True,
) -> BuildState | AllAtOnce:
    """Write what is not written yet. ``in_parts``: very many references in several commits."""
    total, done = len(request.sources), state.done
    if state.metadata is not None:
        state = replace(state, before=_ends_of(request, state, parsing))
    size = total if state.dimension is None else batch
    sample = SAMPLE if total - done <= size else SAMPLE_OF_BATCH
    show = request.progress("parsed")
    in_parts = in_parts and state.dimension is not None
    written = done
    try:
        while done < total:
            files = list(request.sources[done : done + size])
            started = datetime.now(UTC)

            def parsed(count: int, begun: int = done) -> None:
                show(begun + count, total)

            results = parsing.parse(files, parsed, total - done - len(files))
            parts = list(parts_of(results)) if in_parts else [results]
            for number, part in enumerate(parts, 1):
                done += len(part)
                after = write_batch(
                    request,
                    claim,
                    state,
                    part,
                    started,
                    more_follow=done < total,
                    sample=sample if len(parts) == 1 else int(number in (1, len(parts))),
                )
                if isinstance(after, AllAtOnce):
                    return after
                state, written = after, done
    except (InputError, Refused) as error:
        if not written:
            raise
        raise type(error)(
            f"{error} {written} of {total} files are written, but nothing is on main: the same "
            "command goes on from there."
        ) from error
    return state


def _ends_of(request: BuildRequest, state: BuildState, parsing: Parsing) -> Boundary:
    """The first and the last file that are written, to compare others with."""
    assert state.metadata is not None
    by_url = {source.url: source for source in request.sources}
    groups = state.metadata["groups"].values()
    numbers = {n for stored_group in groups for n in _outermost_numbers(stored_group)}
    records = [state.metadata["sources"][number] for number in sorted(numbers)]
    files: list[ParsedFile] = []
    outer = [by_url[record["url"]] for record in records]
    for result in with_given(request, state.dimension, parsing.parse(outer)):
        if isinstance(result, Unreadable):
            raise InputError(result.reason)
        files.append(result)
    if not files[0].children:
        return Boundary(files[0], files[-1])
    dimension = str(state.dimension)
    return Boundary(outermost(None, files, dimension), outermost(None, files[::-1], dimension))


def _outermost_numbers(stored_group: GroupRecord) -> tuple[int, int]:
    """The first source and the last one with records in a group."""
    numbers = [number for number, length in enumerate(stored_group["lengths"]) if length]
    return (numbers[0], numbers[-1]) if numbers else (0, len(stored_group["lengths"]) - 1)


def _publish(request: BuildRequest, claim: Claim, state: BuildState) -> None:
    """Let main show all that is written, if the sources are still what they were."""
    if state.repository is None or state.metadata is None:
        raise Refused(f"No file is left to build from: {next(iter(state.left_out.values()))}")
    urls = {record["url"] for record in state.metadata["sources"]}
    used = [source for source in request.sources if source.url in urls]
    check_unchanged(used, request.patterns, request.access)
    finish(state.repository, state.tip, claim)
    if state.resumed and claim.since:  # what a stopped run wrote and never committed
        with suppress(icechunk.IcechunkError):  # harmless where it may not be deleted
            state.repository.garbage_collect(claim.since)


def _built(request: BuildRequest, state: BuildState) -> Built:
    metadata = state.metadata
    assert metadata is not None, "nothing is published without"
    stored = list(stored_groups(metadata).items())
    repository = open_any_repository(request.location, request.access)
    store = repository.readonly_session("main").store
    return Built(
        repository=as_url(request.location),
        snapshot=state.tip,
        concat_dim=metadata["concat_dim"],
        sizes={
            _path(group, name): size
            for group, _ in stored
            for name, size in sorted(open_store(store, group).sizes.items())
        },
        sources=[record["url"] for record in metadata["sources"]],
        references=metadata["references"],
        virtual=[
            _path(group, name) for group, stored_group in stored for name in stored_group["virtual"]
        ],
        loaded=[
            _path(group, name) for group, stored_group in stored for name in stored_group["loaded"]
        ],
        native=_by_path(stored, "native"),
        dropped=_by_path(stored, "dropped"),
        ways={
            _path(group, name): way
            for group, stored_group in stored
            for name, way in told_ways(stored_group, open_arrays(store, group)).items()
        },
        notes=list(dict.fromkeys(state.notes)),
        left_out=list(state.left_out.values()),
        resumed=state.resumed,
        containers=sorted(repository.config.virtual_chunk_containers or {}),
        share=state.share,
    )


def _path(group: str, name: object) -> str:
    return f"{group}/{name}" if group else str(name)


def _by_path(
    stored: list[tuple[str, GroupInStore]], key: Literal["native", "dropped"]
) -> dict[str, str]:
    return {
        _path(group, name): why
        for group, stored_group in stored
        for name, why in stored_group[key].items()
    }


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
        taken = any("time" in part.dataset.variables for part in parts)
        told = advice([each.url for each in sources], taken)
        for part in parts:
            try:
                return find_record_dimension(part, told)
            except InputError as error:
                first = first or error
        assert first is not None, "read_coordinates returns a group, or raises"
        raise first
    raise InputError(reason)


def _dimension_to_grow(parts: list[ParsedFile]) -> str | None:
    """The dimension that has records and a coordinate, in each group."""
    try:
        (dimension,) = {find_record_dimension(part) for part in parts}
    except (InputError, ValueError):
        return None
    datasets = [part.dataset for part in parts]
    is_there = all(d.sizes.get(dimension) and dimension in d.coords for d in datasets)
    return dimension if is_there else None
