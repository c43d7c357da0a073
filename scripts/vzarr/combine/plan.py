"""How each variable of several files becomes one array: the cheapest way that is exact.

Where chunks do not lie as one regular grid, plain numbers are cut, and others become an array of
unequal chunks or a copy. The plan is made once; inspect shows it, build and append follow it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any

import xarray as xr
from virtualizarr.manifests import ManifestArray

from vzarr.combine.codecs import with_codecs_of
from vzarr.combine.copied import show_bytes
from vzarr.combine.mixed_array import (
    READERS_NEED,
    MixedArray,
    as_copy,
    as_rectilinear,
    cut,
    empty_array,
    is_plain,
    no_references,
)
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import copy_and_replace_metadata, manifest_chunk_shape
from vzarr.virtualize.model import ParsedFile, is_virtual

WAYS = ("rectilinear", "copy", "refuse")
"""What ``--irregular`` chooses among."""
COPIED_SHARE, COPIED_BYTES = 0.05, 100 * 10**6
"""What may be copied without a word so that every reader can open all: of the bytes of the files,
and at most."""
SMALL = 4096
"""Bytes of a chunk below which a copy reads better, where it is small beside the rest."""


@dataclass(frozen=True)
class Policy:
    """What the user chose: ``irregular`` is one of ``WAYS``, or None where nothing was chosen."""

    irregular: str | None = None


NO_CHOICE = Policy()


@dataclass(frozen=True)
class Way:
    """How a variable becomes one array, and what that costs in decoded bytes.

    ``kind``: "cut", "rectilinear" or "copy"; ``rows`` in each chunk that is cut; ``readers`` says
    what opens it, where that is not every reader.
    """

    kind: str
    why: str
    virtual: int
    native: int
    rows: int = 0
    readers: str = ""

    def as_json(self) -> dict[str, Any]:
        """For results and for the ledger."""
        return {key: value for key, value in asdict(self).items() if value or key == "native"}

    def __str__(self) -> str:
        share = self.virtual / max(1, self.virtual + self.native)
        text = f"{self.kind}: {self.why}; {share:.0%} virtual, {show_bytes(self.native)} copied"
        return f"{text}; readers need {self.readers}" if self.readers else text


def together(first: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The ways of a group, as the ledger has them, with those of more files behind the others."""
    found = dict(first)
    for name, way in more.items():
        held = found.get(name, {})
        sums = {key: held.get(key, 0) + way.get(key, 0) for key in ("virtual", "native")}
        found[name] = {**way, **sums}
    return found


@dataclass(frozen=True)
class Form:
    """How a file stores a variable along the record dimension: ``length`` rows, ``chunk`` each.

    ``is_plain``: uncompressed, so that it can be cut between rows.
    """

    length: int
    chunk: int
    row_bytes: int
    is_plain: bool

    @property
    def bytes(self) -> int:
        """Bytes of the file's array, unpacked."""
        return self.length * self.row_bytes

    @property
    def left(self) -> int:
        """Rows in a last chunk that is shorter."""
        return self.length % self.chunk


@dataclass(frozen=True)
class Layout:
    """How a store holds an array that files continue: ``rows`` of them, in chunks of ``edges``.

    ``metadata`` is of regular chunks; ``edges`` is None for an array of these. ``is_copy``: its
    rows are copied.
    """

    metadata: Any
    axis: int
    rows: int
    edges: tuple[int, ...] | None = None
    is_copy: bool = False

    @property
    def chunk(self) -> int:
        """The length of a chunk along the axis."""
        return manifest_chunk_shape(self.metadata)[self.axis]

    def chunk_at(self, row: int) -> int:
        """The number of the chunk that holds a row."""
        if self.edges is None:
            return row // self.chunk
        return bisect_right(list(accumulate(self.edges)), row)

    def as_array(self, shape: Sequence[int] | None = None) -> ManifestArray:
        """Stands for what is stored, to compare files with; of another ``shape`` if wanted."""
        metadata = self.metadata
        if shape is not None:
            metadata = copy_and_replace_metadata(metadata, new_shape=list(shape))
        array = empty_array(metadata)
        if self.edges is None:
            return array
        return MixedArray(metadata, array.manifest, self.axis, self.edges)


def form_of(array: ManifestArray, axis: int) -> Form:
    """How one file's array is cut along an axis."""
    row = math.prod(size for at, size in enumerate(array.shape) if at != axis)
    chunk = manifest_chunk_shape(array.metadata)[axis]
    return Form(array.shape[axis], chunk, row * array.dtype.itemsize, is_plain(array, axis))


def is_regular(forms: Sequence[Form], more_follow: bool) -> bool:
    """Whether files that follow one another fill one regular grid of chunks."""
    same_chunk = all(form.chunk == forms[0].chunk for form in forms)
    followed = forms if more_follow else forms[:-1]
    return same_chunk and not any(form.left for form in followed)


def common_rows(forms: Iterable[Form]) -> int:
    """The longest chunk that all chunks, and what is left behind them, consist of."""
    return math.gcd(*(number for form in forms for number in (form.chunk, form.left)))


@dataclass(frozen=True)
class Choice:
    """A variable whose files fill no regular grid, and what can be done."""

    variable: str
    rectilinear: Way
    copy: Way
    cut: Way | None = None


def find_choice(
    name: str, forms: Sequence[Form], before: Form | None, dimension: str, more_follow: bool
) -> Choice:
    """The ways of one variable whose files, behind what is stored ``before``, fill no grid."""
    every = [before, *forms] if before else list(forms)
    total = sum(form.bytes for form in forms)
    followed = every if more_follow else every[:-1]
    edges = sum(form.left * form.row_bytes for form in followed)
    lengths, chunks = [form.length for form in forms], [form.chunk for form in every]
    why = why_uneven(lengths, chunks, dimension)
    rectilinear = Way("rectilinear", why, total - edges, edges, readers=READERS_NEED)
    rows = common_rows(every)
    can_cut = all(form.is_plain for form in every)
    cut_way = Way("cut", why, total, 0, rows) if can_cut else None
    return Choice(name, rectilinear, Way("copy", why, 0, total), cut_way)


def why_uneven(lengths: Iterable[int], chunks: Iterable[int], dimension: str) -> str:
    """The words for lengths and chunks that do not make one regular grid."""
    return f"{_span(lengths)} steps of {dimension} a file, in chunks of {_span(chunks)}"


def _span(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def choose(
    choices: Sequence[Choice],
    total: int,
    policy: Policy,
    held: dict[str, Layout],
    row_bytes: dict[str, int],
) -> tuple[dict[str, Way], list[Choice]]:
    """A way for each variable, and those of which the user has to choose.

    ``total`` bytes of all variables; ``row_bytes`` of each.
    """
    ways: dict[str, Way] = {}
    left: list[Choice] = []
    copied = 0

    def is_cheap(way: Way) -> bool:
        return copied + way.native <= min(COPIED_SHARE * total, COPIED_BYTES)

    for choice in sorted(choices, key=lambda choice: choice.copy.native):
        name, layout = choice.variable, held.get(choice.variable)
        if layout is not None and layout.edges is not None:
            ways[name] = choice.rectilinear
            continue
        if layout is not None and layout.is_copy:
            ways[name] = choice.copy
            continue
        if choice.cut is not None:
            is_small = layout is None and choice.cut.rows * row_bytes[name] < SMALL
            ways[name] = choice.copy if is_small and is_cheap(choice.copy) else choice.cut
            copied += ways[name].native
            continue
        if policy.irregular in ("rectilinear", "copy"):
            ways[name] = choice.copy if policy.irregular == "copy" else choice.rectilinear
        elif policy.irregular is None and is_cheap(choice.copy):
            ways[name] = choice.copy
            copied += choice.copy.native
        else:
            left.append(choice)
    return ways, left


def question(where: str, choices: Sequence[Choice]) -> str:
    """One sentence that asks for a choice, with what each costs."""
    names = ", ".join(choice.variable for choice in choices[:3])
    more = f" and {len(choices) - 3} more" if len(choices) > 3 else ""
    virtual = sum(choice.rectilinear.virtual for choice in choices)
    edges = sum(choice.rectilinear.native for choice in choices)
    copied = sum(choice.copy.native for choice in choices)
    return (
        f"{where}: {names}{more}: {choices[0].copy.why}, which no regular grid of Zarr holds "
        f"without a copy: choose --irregular rectilinear ({show_bytes(virtual)} of these files "
        f"virtual, {show_bytes(edges)} copied; readers need {READERS_NEED}) or --irregular copy "
        f"({show_bytes(copied)} copied; every reader opens it)."
    )


@dataclass(frozen=True)
class Plan:
    """``ways`` of the variables of a group that need one; ``choices`` that the user has to make."""

    ways: dict[str, Way] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()


def make_plan(
    files: Sequence[ParsedFile],
    held: dict[str, Layout],
    dimension: str,
    policy: Policy,
    more_follow: bool,
) -> Plan:
    """The plan for one group of files that lie in their order along ``dimension``.

    ``held`` are the arrays that they continue. Files that differ from the first in more than the
    lengths of chunks have no part in it: comparing them says so.
    """
    if policy.irregular == "refuse":
        return Plan()
    choices, row_bytes, total = [], {}, 0
    for name in _growing(files, dimension):
        axis = files[0].dataset[name].dims.index(dimension)
        alike = [
            data for data in _arrays(files, name) if _is_like(data, _first(files, held, name), axis)
        ]
        forms = [form_of(data, axis) for data in alike]
        total += sum(form.bytes for form in forms)
        row_bytes[name] = forms[0].row_bytes if forms else 0
        layout = held.get(name)
        before = form_of(layout.as_array(), axis) if layout and layout.edges is None else None
        every = [before, *forms] if before else forms
        has_edges = layout is not None and before is None
        if forms and (has_edges or not is_regular(every, more_follow)):
            choices.append(find_choice(name, forms, before, dimension, more_follow))
    ways, left = choose(choices, total, policy, held, row_bytes)
    return Plan(ways, tuple(left))


def fit(
    files: Sequence[ParsedFile],
    plan: Plan,
    held: dict[str, Layout],
    dimension: str,
    access: Access,
    more_follow: bool,
) -> list[ParsedFile]:
    """The files with each variable in the form that its way asks for."""
    if not plan.ways:
        return list(files)
    fitted = []
    for number, file in enumerate(files):
        is_last = number == len(files) - 1 and not more_follow
        new = {}
        for name, way in plan.ways.items():
            variable = file.dataset.variables.get(name)
            first = _first(files, held, name)
            if variable is None or not is_virtual(variable) or dimension not in variable.dims:
                continue
            if not _is_like(variable.data, first, variable.dims.index(dimension)):
                continue
            data = _fit_array(variable, way, first, dimension, access, is_last)
            new[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
        fitted.append(replace(file, dataset=file.dataset.assign(new)))
    return fitted


def _fit_array(
    variable: xr.Variable,
    way: Way,
    first: ManifestArray,
    dimension: str,
    access: Access,
    is_last: bool,
) -> ManifestArray:
    axis = variable.dims.index(dimension)
    if way.kind == "cut":
        return cut(variable.data, axis, way.rows)
    if way.kind == "copy":
        return as_copy(variable.data, first.metadata, axis, access)
    return as_rectilinear(variable.data, axis, access, is_last)


def fit_in_place(
    file: ParsedFile, held: dict[str, Layout], dimension: str, start: int, access: Access
) -> ParsedFile:
    """A file in the form in which it takes the rows from ``start`` on of what is stored.

    Where the store has copies or chunks of unequal length, what does not lie as these is copied.
    """
    new = {}
    for name, layout in held.items():
        variable = file.dataset.variables.get(name)
        if variable is None or not is_virtual(variable) or dimension not in variable.dims:
            continue
        array = with_codecs_of(variable.data, layout.as_array())
        if _is_like(array, layout.as_array(), layout.axis):
            data = _in_place(array, layout, start, access)
            new[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
    return replace(file, dataset=file.dataset.assign(new)) if new else file


def _in_place(data: ManifestArray, layout: Layout, start: int, access: Access) -> ManifestArray:
    axis = layout.axis
    stop = start + data.shape[axis]
    if layout.edges is not None:
        own = as_rectilinear(data, axis, access, is_last=stop == layout.rows)
        span = layout.edges[layout.chunk_at(start) : layout.chunk_at(stop - 1) + 1]
        if own.edges == span:
            return own
        copy = as_copy(data, layout.metadata, axis, access)
        grid = list(copy.manifest.shape_chunk_grid)
        grid[axis] = len(span)
        return MixedArray(copy.metadata, no_references(grid), axis, span, copy.rows)
    form = form_of(data, axis)
    if form.chunk == layout.chunk and not layout.is_copy:
        return data
    divides = form.chunk % layout.chunk == 0 and form.left % layout.chunk == 0
    if layout.is_copy:
        return as_copy(data, layout.metadata, axis, access)
    # What cannot be cut is left as it is, and refused: nothing is copied that nobody asked for.
    return cut(data, axis, layout.chunk) if form.is_plain and divides else data


def like_stored(parsed: ParsedFile, held: dict[str, Layout], plan: Plan) -> ParsedFile:
    """A file that was written before, in the form that it has in the store by now."""
    new = {}
    for name, layout in held.items():
        variable = parsed.dataset.variables.get(name)
        if variable is None or not is_virtual(variable):
            continue
        data = layout.as_array(variable.shape)
        way = plan.ways.get(name)
        if way is not None and way.kind == "cut":
            data = cut(data, layout.axis, way.rows)
        elif way is not None and way.kind == "rectilinear" and layout.edges is None:
            data = MixedArray(data.metadata, data.manifest, layout.axis, (layout.chunk,))
        new[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
    return replace(parsed, dataset=parsed.dataset.assign(new)) if new else parsed


def _growing(files: Sequence[ParsedFile], dimension: str) -> list[str]:
    variables = files[0].dataset.variables if files else {}
    return [str(n) for n, v in variables.items() if is_virtual(v) and dimension in v.dims]


def _arrays(files: Sequence[ParsedFile], name: str) -> list[ManifestArray]:
    found = (file.dataset.variables.get(name) for file in files)
    return [variable.data for variable in found if variable is not None and is_virtual(variable)]


def _first(files: Sequence[ParsedFile], held: dict[str, Layout], name: str) -> ManifestArray:
    return held[name].as_array() if name in held else files[0].dataset[name].variable.data


def _is_like(array: ManifestArray, first: ManifestArray, axis: int) -> bool:
    """Whether only the lengths of chunks along an axis differ."""
    mine, theirs = array.metadata, first.metadata
    return (
        array.ndim == first.ndim
        and mine.data_type == theirs.data_type
        and mine.codecs == theirs.codecs
        and _inner(mine, axis) == _inner(theirs, axis)
    )


def _inner(metadata: Any, axis: int) -> tuple[int, ...]:
    chunk = manifest_chunk_shape(metadata)
    return (*chunk[:axis], *chunk[axis + 1 :])
