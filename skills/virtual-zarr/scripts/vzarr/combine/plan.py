"""How each variable of several files becomes one array: the cheapest way that is exact.

Where chunks do not lie as one regular grid, plain numbers are cut, and others become an array of
unequal chunks or a copy. The plan is made once; inspect shows it, build and append follow it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any

from virtualizarr.manifests import ManifestArray

from vzarr.combine.copied import show_bytes
from vzarr.combine.mixed_array import READERS_NEED, MixedArray, TrimmedArray, empty_array
from vzarr.combine.raw_packing import needed
from vzarr.upstream.virtualizarr import copy_and_replace_metadata, manifest_chunk_shape
from vzarr.virtualize.plain_chunks import is_plain

WAYS = ("rectilinear", "copy", "decode", "refuse")
"""What ``--irregular`` chooses among."""
COPIED_SHARE, COPIED_BYTES = 0.05, 100 * 10**6
"""What may be copied without a word so that every reader can open all: of the bytes of the files,
and at most."""
SMALL = 4096
"""Bytes of a chunk below which a copy reads better, where it is small beside the rest."""


@dataclass(frozen=True)
class Policy:
    """What the user chose: ``irregular`` is one of ``WAYS``, or None where nothing was chosen.

    ``tolerance`` is the share of a step by which coordinates may differ; ``overlap`` says whose
    steps stay where neighbours repeat some, one of ``vzarr.combine.overlap.CHOICES``; ``packing``
    is "raw" where variables that each file packs in its way stay as they are packed.
    """

    irregular: str | None = None
    tolerance: float = 0.0
    overlap: str | None = None
    packing: str | None = None


NO_CHOICE = Policy()


@dataclass(frozen=True)
class Way:
    """How a variable becomes one array, and what that costs in decoded bytes.

    ``kind``: "cut", "rectilinear", "copy", "partly" (copied) or "decode" (copied, unpacked);
    ``rows`` in each chunk that is cut; ``readers`` says what opens it, where not every reader does.
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
    merged = dict(first)
    for name, way in more.items():
        ways = merged.get(name, {})
        sums = {key: ways.get(key, 0) + way.get(key, 0) for key in ("virtual", "native")}
        kind = "decode" if ways.get("kind") == "decode" else way["kind"]
        merged[name] = {**way, **sums, "kind": kind}
    return merged


@dataclass(frozen=True)
class Form:
    """How a file stores a variable along the record dimension: ``length`` rows, ``chunk`` each.

    ``is_plain``: uncompressed, so that it can be cut between rows. ``otherwise`` says what is
    different where a file stores it in another form than the array, so that it is copied;
    ``value_bytes`` are those of a row of values, where files pack them differently; ``lead`` rows
    are left of a chunk that begins before the file's part. ``may_lose``: its values may not be
    those of the array's type and packing; ``is_scaled``: only scale or offset differ.
    """

    length: int
    chunk: int
    row_bytes: int
    is_plain: bool
    otherwise: str = ""
    value_bytes: int = 0
    lead: int = 0
    may_lose: bool = False
    is_scaled: bool = False

    @property
    def bytes(self) -> int:
        """Bytes of the file's array, unpacked."""
        return self.length * self.row_bytes

    @property
    def left(self) -> int:
        """Rows in a last chunk that is shorter."""
        return (self.length - self.lead) % self.chunk


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
    width = row * array.dtype.itemsize
    if isinstance(array, TrimmedArray):
        return Form(array.shape[axis], chunk, width, is_plain=False, lead=array.lead)
    return Form(array.shape[axis], chunk, width, is_plain(array, axis))


def is_regular(forms: Sequence[Form], more_follow: bool) -> bool:
    """Whether files that follow one another fill one regular grid of chunks."""
    same_chunk = all(form.chunk == forms[0].chunk for form in forms)
    followed = forms if more_follow else forms[:-1]
    begins_whole = not any(form.lead for form in forms)
    return same_chunk and begins_whole and not any(form.left for form in followed)


def common_rows(forms: Iterable[Form]) -> int:
    """The longest chunk that all chunks, and what is left behind them, consist of."""
    return math.gcd(*(number for form in forms for number in (form.chunk, form.left)))


@dataclass(frozen=True)
class Choice:
    """A variable whose files fill no regular grid, or store it in several forms; and its ways.

    ``partly``: on a regular grid, with what is stored otherwise copied; ``decode``: all of it
    copied as values, where files pack them differently; ``raw``: as it is packed, with what unpacks
    it beside. ``may_lose``: a copy in the form of most files may be refused, for values that it
    would change.
    """

    variable: str
    copy: Way
    rectilinear: Way | None = None
    cut: Way | None = None
    partly: Way | None = None
    decode: Way | None = None
    raw: Way | None = None
    may_lose: bool = False

    @property
    def offered(self) -> list[Way]:
        """Those that the user chooses among, first what is exact in any case."""
        ways = [self.partly] if self.partly else [self.rectilinear, self.copy]
        ways = [self.decode, *ways] if self.may_lose else [*ways, self.decode]
        return [way for way in (self.raw, *ways) if way]


def flags_of(choices: Sequence[Choice]) -> tuple[str, ...]:
    """The options with which ``build`` takes for each variable the first way that is exact."""
    kinds = {
        way.kind
        for choice in choices
        for way in choice.offered
        if way.kind != "raw" and not (choice.raw and choice.partly)
    }
    firsts = {next(way.kind for way in choice.offered if way.kind != "raw") for choice in choices}
    flags = ("--packing raw",) if any(choice.raw for choice in choices) else ()
    if not kinds:
        return flags
    if "decode" in firsts and not all(choice.raw for choice in choices if choice.may_lose):
        return (*flags, "--irregular decode")
    return (*flags, f"--irregular {'rectilinear' if 'rectilinear' in kinds else 'copy'}")


def find_choice(
    name: str,
    forms: Sequence[Form],
    before: Form | None,
    dimension: str,
    more_follow: bool,
    is_uneven: bool = False,
) -> Choice:
    """The ways of one variable whose files, behind what is stored ``before``, fill no grid.

    ``is_uneven``: what is stored has chunks of unequal length.
    """
    every = [before, *forms] if before else list(forms)
    total = sum(form.bytes for form in forms)
    others = [form for form in forms if form.otherwise]
    other_bytes = sum(form.bytes for form in others)
    number = f"{len(others)} of {len(forms)} files store it otherwise"
    whys = [f"{number}, as {others[0].otherwise}"] if others else []
    row_of_values = max((form.value_bytes for form in others), default=0)
    values = sum(form.length for form in forms) * row_of_values
    decode = Way("decode", whys[0], 0, values) if values else None
    may_lose = any(form.may_lose for form in others)
    more: dict[str, Any] = {"decode": decode, "may_lose": may_lose}
    if before is None and others and all(form.is_scaled for form in others):
        more["raw"] = Way("raw", whys[0], total, 0, readers=needed(name.rpartition("/")[2]))
    if others and is_regular(every, more_follow) and not is_uneven:
        way = Way("partly", whys[0], total - other_bytes, other_bytes)
        return Choice(name, replace(way, kind="copy"), partly=way, **more)
    lengths, chunks = [form.length for form in forms], [form.chunk for form in every]
    why = "; ".join([why_uneven(lengths, chunks, dimension), *whys])
    followed = every if more_follow else every[:-1]
    edges = sum(form.left * form.row_bytes for form in followed if not form.otherwise)
    edges += sum(form.lead * form.row_bytes for form in forms if not form.otherwise)
    native = edges + other_bytes
    rectilinear = Way("rectilinear", why, total - native, native, readers=READERS_NEED)
    cut_way = None
    if all(form.is_plain for form in every):
        cut_way = Way("cut", why, total - other_bytes, other_bytes, common_rows(every))
    return Choice(name, Way("copy", why, 0, total), rectilinear, cut_way, **more)


def why_uneven(lengths: Iterable[int], chunks: Iterable[int], dimension: str) -> str:
    """The words for lengths and chunks that do not make one regular grid."""
    return f"{_span(lengths)} steps of {dimension} a file, in chunks of {_span(chunks)}"


def _span(numbers: Iterable[int]) -> str:
    ordered = sorted(set(numbers))
    return f"{ordered[0]}" if len(ordered) == 1 else f"{ordered[0]} to {ordered[-1]}"


def choose(
    choices: Sequence[Choice],
    total: int,
    policy: Policy,
    layouts: dict[str, Layout],
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
        way = _chosen(
            choice, policy, layouts.get(choice.variable), row_bytes[choice.variable], is_cheap
        )
        if way is None:
            left.append(choice)
        else:
            ways[choice.variable] = way
            copied += 0 if policy.irregular else way.native
    return ways, left


def _chosen(
    choice: Choice,
    policy: Policy,
    layout: Layout | None,
    row_bytes: int,
    is_cheap: Callable[[Way], bool],
) -> Way | None:
    """The way of one variable; None where the user has to say."""
    is_told = policy.irregular is not None
    if layout is not None and layout.edges is not None:
        return choice.rectilinear or choice.partly
    if layout is not None and layout.is_copy:
        return choice.copy
    if policy.irregular == "decode" and choice.decode is not None and layout is None:
        return choice.decode
    if choice.partly is not None:
        return choice.partly if is_told or is_cheap(choice.partly) else None
    if choice.cut is not None and (is_told or is_cheap(choice.cut)):
        is_small = layout is None and choice.cut.rows * row_bytes < SMALL
        return choice.copy if is_small and is_cheap(choice.copy) else choice.cut
    if policy.irregular == "rectilinear":
        return choice.rectilinear
    return choice.copy if is_told or is_cheap(choice.copy) else None


def question(where: str, choices: Sequence[Choice]) -> str:
    """One sentence that asks for a choice, with what each costs."""
    names = ", ".join(choice.variable for choice in choices[:3])
    more = f" and {len(choices) - 3} more" if len(choices) > 3 else ""
    copied = sum((choice.partly or choice.copy).native for choice in choices)
    virtual_bytes = sum((choice.partly or choice.copy).virtual for choice in choices)
    offers = f"--irregular copy ({show_bytes(copied)} copied; every reader opens it)"
    if virtual_bytes:
        offers = offers.replace("copied;", f"copied, {show_bytes(virtual_bytes)} virtual;")
    ways = [choice.rectilinear for choice in choices if choice.rectilinear]
    what = "so they have to be copied"
    decodes = [choice.decode for choice in choices if choice.decode]
    raws = [choice.raw for choice in choices if choice.raw]
    if raws:
        virtual_bytes = sum(way.virtual for way in raws)
        what_it_is = f"{show_bytes(virtual_bytes)} virtual; readers compute {raws[0].readers}"
        offers = f"--packing raw ({what_it_is}), {offers}"
    if decodes:
        values = sum(way.native for way in decodes)
        offers += f", or --irregular decode ({show_bytes(values)} copied as values)"
    if ways:
        virtual, edges = (sum(getattr(way, key) for way in ways) for key in ("virtual", "native"))
        what = "which no regular grid of Zarr holds without a copy"
        offers = (
            f"--irregular rectilinear ({show_bytes(virtual)} of these files virtual, "
            f"{show_bytes(edges)} copied; readers need {READERS_NEED}) or {offers}"
        )
    return f"{where}: {names}{more}: {choices[0].copy.why}, {what}: choose {offers}."
