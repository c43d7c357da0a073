"""One batch of a build before it is written: which of its files are taken, and in which form."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import xarray as xr

from vzarr.changes.build_commit import write_first, write_more
from vzarr.changes.build_state import BuildRequest, BuildState
from vzarr.combine.combine import Boundary, Continued
from vzarr.combine.compatibility import Difference
from vzarr.combine.copied import Share, show_bytes, weigh
from vzarr.combine.groups import combine_groups, describe, raw_paths, stored_groups
from vzarr.combine.kinds import is_in, split_kinds
from vzarr.combine.lacking import begins_later, outermost
from vzarr.combine.merge import are_columns, merge_columns
from vzarr.combine.named_coordinates import NONE, give_coordinates
from vzarr.combine.overlap import index_of, trim_files
from vzarr.combine.plan import GROUPS
from vzarr.combine.raw_packing import differing_packing
from vzarr.combine.record_dimension import has_no_records, no_records
from vzarr.combine.rows import merge_rows
from vzarr.combine.second_dimension import find_second
from vzarr.combine.shared_attributes import common
from vzarr.errors import InputError, Refused
from vzarr.formats.registry import FORMATS
from vzarr.repository.claim import Claim
from vzarr.repository.layouts import all_layouts, grown_numbers
from vzarr.sources.discover import last_updated
from vzarr.virtualize.model import ParsedFile, Unreadable, part_of

REFERENCES = 500_000
"""References in a commit of a build, about: each takes 1 kB of memory, and the time of a commit
grows with its references times its manifests (``benchmarks``, writing)."""


@dataclass(frozen=True)
class AllAtOnce:
    """Instead of a state: these files cannot be written in batches, in the order of their names."""


def write_batch(
    request: BuildRequest,
    claim: Claim,
    state: BuildState,
    results: list[ParsedFile | Unreadable],
    started: datetime,
    *,
    more_follow: bool,
    sample: int,
) -> BuildState | AllAtOnce:
    """Combine the files of a batch that fit, write and commit them; returns the state after it.

    Raises
    ------
    InputError
        For a file that cannot be read, unless it may be left out.
    Refused
        For files that differ, and if the store would not read as they do.
    """
    state, good = _readable(request, state, with_given(request, state.dimension, results))
    if not good:
        return state
    dimension = state.dimension
    request, state = _with_second(request, state, good)
    if _is_for_all(request, state, good):
        if more_follow or state.before is not None:
            return AllAtOnce()
        good, notes = _side_by_side(request, state, good)
        state = _noted(state, *notes)
    if state.before and dimension and begins_later(state.before.first, good, dimension):
        return AllAtOnce()
    refer = any(FORMATS[file.file_format].references for file in good)
    is_packed_anew = _is_packed_anew(request, state, good)
    if is_packed_anew or _is_out_of_order(request, state, good) or (refer and more_follow):
        return AllAtOnce()
    if dimension is not None:
        good = _without_repeated(request, state, good, dimension)
    if state.metadata is None and dimension and not _has(good[0], dimension):
        state = _noted(
            state,
            f"no file has a dimension or variable {dimension}: it is a new dimension, "
            "along which each file is one step",
        )
    if request.policy.irregular == GROUPS and (more_follow or state.before is not None):
        return AllAtOnce()
    datasets, files, differing = _combine(request, state, good, more_follow)
    left_out = state.left_out | {problem.url: problem.reason for problem in differing}
    state = replace(state, left_out=left_out)
    if not files:
        return state
    parts = [part_of(f, g) for f in files for g in datasets if is_in(f, g)]
    state = _noted(state, *(note for part in parts for note in part.notes))
    state = replace(state, share=state.share + _weigh(request, state, datasets, files))
    checksum = last_updated(started, [each.source for file in files for each in file.files])
    write = write_first if state.metadata is None else write_more
    state = write(request, claim, state, datasets, files, checksum, sample)
    return replace(state, before=_boundary(state.before, files, dimension))


def _boundary(before: Boundary | None, files: list[ParsedFile], dimension: str | None) -> Boundary:
    """The first and the last file with records, of all that are written."""
    first, last = (before.first, before.last) if before else (None, None)
    if dimension is None or not files[0].children:
        return Boundary(first or files[0], files[-1])
    latest = [*reversed(files), *([last] if last else [])]
    return Boundary(outermost(first, files, dimension), outermost(None, latest, dimension))


def _combine(
    request: BuildRequest, state: BuildState, files: list[ParsedFile], more_follow: bool
) -> tuple[dict[str, xr.Dataset], list[ParsedFile], list[Difference]]:
    """As ``combine_groups``; files of several kinds get groups of their own, if so asked."""
    continued = _continued(request, state)
    options = (state.dimension, request.access, request.skip_bad, state.before, more_follow)
    kinds = {}
    if request.policy.irregular == GROUPS:
        continued = replace(continued, policy=replace(request.policy, irregular=None))
        if state.dimension is not None:
            kinds = split_kinds(files, state.dimension)
    if not kinds:
        return combine_groups(files, *options, continued)
    datasets: dict[str, xr.Dataset] = {}
    chosen: list[ParsedFile] = []
    left_out: list[Difference] = []
    for own in kinds.values():
        combined, order, differing = combine_groups(own, *options, continued)
        root = datasets.get("", combined[""])
        datasets |= {**combined, "": root}
        chosen += order
        left_out += differing
    datasets[""] = datasets[""].copy(deep=False)
    datasets[""].attrs = common([file.dataset.attrs for file in chosen])
    return datasets, chosen, left_out


def parts_of(results: list[ParsedFile | Unreadable]) -> Iterator[list[ParsedFile | Unreadable]]:
    """Files that follow one another, in parts of about ``REFERENCES``."""
    part: list[ParsedFile | Unreadable] = []
    references = 0
    for result in results:
        count = result.references if isinstance(result, ParsedFile) else 0
        if references and references + count > REFERENCES:
            yield part
            part, references = [], 0
        part.append(result)
        references += count
    yield part


def _is_for_all(request: BuildRequest, state: BuildState, files: list[ParsedFile]) -> bool:
    """Whether files have the same records as others, so that all have to be known."""
    if state.dimension is None:
        return False
    with_first = [state.before.first, *files] if state.before else files
    return request.inner is not None or are_columns(with_first)


def _with_second(
    request: BuildRequest, state: BuildState, files: list[ParsedFile]
) -> tuple[BuildRequest, BuildState]:
    """The request with a second dimension, where files of the same records lie along one."""
    dimension = state.dimension
    if dimension is None or request.inner is not None or state.before is not None:
        return request, state
    inner = find_second(files, dimension)
    if inner is None:
        return request, state
    note = f"files of the same {dimension} lie along {inner}: the store has both dimensions"
    return replace(request, inner=inner), _noted(state, note)


def _side_by_side(
    request: BuildRequest, state: BuildState, files: list[ParsedFile]
) -> tuple[list[ParsedFile], list[str]]:
    """Files that have the same records, of other variables or other steps, as one; what to note."""
    assert state.dimension is not None
    if request.inner is not None:
        return merge_rows(files, state.dimension, request.inner, request.access)
    files = merge_columns(files, state.dimension)
    return files, [_note_columns(files)]


def with_given(
    request: BuildRequest, dimension: str | None, results: list[ParsedFile | Unreadable]
) -> list[ParsedFile | Unreadable]:
    """Parsed files with the coordinates that their names, or a table, give them."""
    if dimension is None or request.coordinates == NONE:
        return results
    given: list[ParsedFile | Unreadable] = []
    for result in results:
        if isinstance(result, ParsedFile):
            try:
                values = request.coordinates.of(result.source.url)
                result = give_coordinates(result, values, dimension)
            except (InputError, Refused) as error:
                result = Unreadable(result.source, str(error))
        given.append(result)
    return given


def _noted(state: BuildState, *notes: str) -> BuildState:
    return replace(state, notes=(*state.notes, *notes))


def _readable(
    request: BuildRequest, state: BuildState, results: list[ParsedFile | Unreadable]
) -> tuple[BuildState, list[ParsedFile]]:
    """The files of a batch that hold records; the state knows why others do not."""
    unreadable = {
        result.source.url: result.reason for result in results if isinstance(result, Unreadable)
    }
    good = [result for result in results if isinstance(result, ParsedFile)]
    if unreadable and not (request.skip_bad and (good or state.before)):
        more = f" ({len(unreadable) - 1} more files.)" if len(unreadable) > 1 else ""
        raise InputError(next(iter(unreadable.values())) + more)
    empty = {
        file.source.url: no_records(file, state.dimension)
        for file in good
        if has_no_records(file, state.dimension)
    }
    state = replace(state, left_out=state.left_out | unreadable | empty)
    return state, [file for file in good if file.source.url not in empty]


def _continued(request: BuildRequest, state: BuildState) -> Continued:
    """What is written, and how more may be made fit for it."""
    if state.metadata is None:
        return Continued(request.policy)
    assert state.repository is not None
    store = state.repository.readonly_session(snapshot_id=state.tip).store
    groups = stored_groups(state.metadata)
    return Continued(
        request.policy,
        all_layouts(store, groups),
        grown_numbers(store, groups),
        raw=raw_paths(state.metadata["groups"]),
    )


def _weigh(
    request: BuildRequest,
    state: BuildState,
    datasets: dict[str, xr.Dataset],
    files: list[ParsedFile],
) -> Share:
    """The share of a copy in a batch. Refuses one, with all before, that nobody asked for."""
    native = {group: describe(files, group, state.dimension)["native"] for group in datasets}
    only = None if state.metadata is None else state.dimension
    own = weigh(datasets, native, only, chosen=request.policy.irregular is not None)
    share = state.share + own
    if request.allow_copy is None:
        if not share.needs_a_word:
            return own
    elif share.native - share.chosen <= request.allow_copy or not share.names:
        return own
    done = len(files) + (len(state.metadata["sources"]) if state.metadata else 0)
    total = len(request.sources) - len(state.left_out)
    needed = show_bytes(int(share.native * max(1.0, total / done)))
    path = max(sorted(share.names), key=share.names.__getitem__)
    group, _, name = path.rpartition("/")
    others = len(share.names) - 1
    more = f", and {others} more" if others else ""
    raise Refused(
        f"{request.location}: about {needed} would be copied, "
        f"{show_bytes(share.virtual)} of these files would be virtual ({path}: "
        f"{native[group][name]}{more}). Copy with --allow-copy {needed}, or "
        f"leave variables out, as with --drop {shlex.quote(path)}."
    )


def _is_packed_anew(request: BuildRequest, state: BuildState, files: list[ParsedFile]) -> bool:
    """Whether packing differs that was the same in all files that are written."""
    if request.policy.packing != "raw" or state.before is None or state.dimension is None:
        return False
    first = state.before.first
    return any(
        differing_packing(
            [part_of(first, path), *(part_of(file, path) for file in files)], state.dimension
        )
        - {*part_of(first, path).raw}
        for path in ("", *first.children)
        if all(not path or path in file.children for file in files)
    )


def _without_repeated(
    request: BuildRequest, state: BuildState, files: list[ParsedFile], dimension: str
) -> list[ParsedFile]:
    """Files without the steps that their neighbours have, where the user chose whose stay."""
    before = index_of(state.before.last, dimension) if state.before else None
    policy = request.policy
    may_copy = policy.irregular != "refuse"
    return trim_files(files, dimension, policy.overlap, before, may_copy)


def _is_out_of_order(request: BuildRequest, state: BuildState, files: list[ParsedFile]) -> bool:
    if state.before is None or state.dimension is None:
        return False
    index = state.before.last.dataset.indexes.get(state.dimension)
    indexes = [file.dataset.indexes.get(state.dimension) for file in files]
    firsts = [first for first in indexes if first is not None and len(first)]
    if index is None or len(firsts) < len(indexes):
        return False
    last = index[0] if request.policy.overlap == "first" else index[-1]
    try:
        return min(first[0] for first in firsts) <= last
    except TypeError:  # two calendars: the comparison of the files will say so
        return False


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
