"""What a file may declare before anything is made of it: sizes of arrays, chunks and texts.

A few hundred bytes can declare a coordinate of 32 GB or a billion chunks. Each such number is
compared with its limit before memory is asked for. ``--limit NAME=VALUE`` raises one.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vzarr.text import drop_options, option


@dataclass(frozen=True)
class Limit:
    """``default`` is far above what archives hold; ``meaning`` is for --help."""

    default: int
    meaning: str


MEBI = 1024**2


LIMITS = {
    "load": Limit(256 * MEBI, "bytes of a coordinate, which is loaded as numbers"),
    "variable": Limit(2048 * MEBI, "bytes of a variable of more than 5,000 times its file"),
    "chunk": Limit(512 * MEBI, "bytes that one compressed chunk, field or image unpacks to"),
    "chunks": Limit(8_000_000, "chunks in a file"),
    "empty": Limit(1_000_000, "chunks in a file that it declares and does not hold"),
    "header": Limit(16 * MEBI, "bytes of a header of text"),
    "expansion": Limit(256 * MEBI, "bytes that templates of Kerchunk expand to"),
    "depth": Limit(64, "groups, or lists of an attribute, within each other"),
}


RATIO = 5000
"""Bytes of values for each byte of a file, beyond which hardly any compression gets."""


UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


UNITS |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


_raised: dict[str, int] = {}


def limit(name: str) -> int:
    """The present value of a limit."""
    return _raised.get(name, LIMITS[name].default)


def raised() -> tuple[tuple[str, int], ...]:
    """What differs from the defaults, for another process.

    Returns
    -------
    tuple of (str, int)
        Name and value of each, in the order of names.
    """
    return tuple(sorted(_raised.items()))


def set_limits(values: Iterable[tuple[str, int]]) -> None:
    """The limits of this process from now on: these, and the defaults of all others."""
    _raised.clear()
    _raised.update(values)


def parse_limit(text: str) -> tuple[str, int]:
    """Name and value of ``NAME=VALUE``, as in ``load=2GB``, ``load=2GiB`` or ``chunks=20e6``.

    Raises
    ------
    ValueError
        If there is no such limit, or the value is not a number above zero.
    """
    name, _, value = text.partition("=")
    if name not in LIMITS:
        raise ValueError(f"{text}: no limit of that name; there are {', '.join(LIMITS)}")
    match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?(?:e[0-9]{1,2})?) *(|[kMGT]|[KMGT]i)B?", value)
    number = int(float(match[1].replace("_", "")) * UNITS[match[2]]) if match else 0
    if number < 1:
        raise ValueError(f"{text}: not a number above zero, as in {name}={LIMITS[name].default}")
    return name, number


def describe_limits() -> list[str]:
    """A line on each, for --help."""
    return [f"  {name} ({known.default:_}): {known.meaning}" for name, known in LIMITS.items()]


def raising(name: str, needed: int) -> str:
    """The option that allows ``needed`` of what a limit counts."""
    return option("--limit", f"{name}={needed}")


@dataclass(frozen=True)
class Declared:
    """What a file says of one array, before any of it is read.

    ``chunk`` is the shape of its chunks, None for one piece; ``stored`` how many of them the file
    holds, where that is known; ``unpacked`` the bytes that a reader has to unpack at once, 0 where
    they are stored as they are; ``is_loaded``: whoever opens the file loads it, as coordinates are;
    ``is_written``: it has values to be compared.
    """

    path: str
    shape: tuple[int, ...]
    itemsize: int
    chunk: tuple[int, ...] | None = None
    stored: int | None = None
    unpacked: int = 0
    is_loaded: bool = False
    is_written: bool = True

    @property
    def nbytes(self) -> int:
        """Bytes of all values, unpacked."""
        return math.prod(self.shape) * self.itemsize

    @property
    def chunks(self) -> int:
        """Chunks of the whole array, whether they exist or not."""
        if self.chunk is None:
            return 1
        pairs = zip(self.shape, self.chunk, strict=True)
        return math.prod(-(-size // max(1, length)) for size, length in pairs)

    @property
    def empty(self) -> int:
        """Chunks that the file does not hold, where that is known."""
        return max(0, self.chunks - self.stored) if self.stored is not None else 0


def excesses(array: Declared, file_size: int) -> Iterator[tuple[str, int, str]]:
    """The limits that an array alone exceeds: their names, its numbers, and words for that."""
    measured = [
        ("load", array.nbytes * array.is_loaded, "bytes, all of which are loaded as numbers"),
        ("variable", array.nbytes * array.is_written, f"bytes in a file of {file_size:,}"),
        ("chunk", array.unpacked, "bytes to unpack at once"),
        ("chunks", array.chunks, "chunks"),
        ("empty", array.empty, "chunks that the file does not hold"),
    ]
    for name, number, words in measured:
        allowed = limit(name)
        if name == "variable":
            allowed = max(allowed, RATIO * file_size)
        if number > allowed:
            yield name, number, f"declares {number:,} {words}, more than the {allowed:,} allowed"


def check(
    url: str, file_size: int, arrays: Iterable[Declared], known: dict[str, Declared] | None = None
) -> None:
    """Refuse what is declared too large, with what leaves it out and what allows it.

    ``known`` holds arrays of the same file that were checked before, by path: all count together.

    Raises
    ------
    Refused
        If an array, or all of them, declare more than a limit.
    """
    known = {} if known is None else known
    sentences: dict[str, str] = {}
    needed: dict[str, int] = {}
    for array in arrays:
        known[array.path] = array
        for name, number, sentence in excesses(array, file_size):
            needed[name] = max(number, needed.get(name, 0))
            sentences.setdefault(array.path, sentence)
    for name in ("chunks", "empty") if not sentences else ():
        total = sum(getattr(array, name) for array in known.values())
        if total > limit(name):
            largest = max(known.values(), key=lambda array: getattr(array, name))
            needed[name] = total
            sentences[largest.path] = (
                f"is the largest of arrays that declare {total:,} {LIMITS[name].meaning}, more "
                f"than the {limit(name):,} allowed"
            )
    if sentences:
        from vzarr.errors import Refused  # with libraries that --help does without

        path, sentence = next(iter(sentences.items()))
        more = f" (and so do {len(sentences) - 1} more)" if len(sentences) > 1 else ""
        options = " ".join(raising(name, number) for name, number in needed.items())
        raise Refused(
            f"{url}: {path} {sentence}{more}: leave out what is too large with "
            f"{drop_options(sentences)}, or allow it with {options}."
        )


def check_number(url: str, name: str, number: int, what: str) -> None:
    """Refuse a number above its limit; ``what`` are the words before it.

    Raises
    ------
    InputError
        With the option that allows it.
    """
    if number > limit(name):
        from vzarr.errors import InputError

        raise InputError(
            f"{url}: {what} {number:,}, more than the {limit(name):,} allowed: allow it with "
            f"{raising(name, number)} if that is right."
        )


def box_shape(
    shape: tuple[int, ...],
    itemsize: int,
    most: int,
    chunk: tuple[int, ...] | None = None,
    chunks: int | None = None,
) -> tuple[int, ...]:
    """The shape of the parts in which to go through an array, of at most ``most`` bytes each.

    Leading dimensions are divided first, into whole chunks, of which there are at most ``chunks``
    in a part. A single chunk is never divided; without ``chunk`` an array may be divided anywhere,
    and its parts follow one another in memory.
    """
    grain = tuple(max(1, min(pair)) for pair in zip(chunk or (1,) * len(shape), shape, strict=True))
    steps = [max(1, size) for size in shape]
    for axis, unit in enumerate(grain):
        over_bytes = math.prod(steps) * itemsize / most
        over_chunks = 0.0
        if chunk is not None and chunks is not None:
            counts = (-(-step // length) for step, length in zip(steps, grain, strict=True))
            over_chunks = math.prod(counts) / chunks
        over = max(over_bytes, over_chunks)
        if over <= 1:
            break
        steps[axis] = min(steps[axis], max(unit, int(steps[axis] / over) // unit * unit))
    return tuple(steps)


def boxes(shape: tuple[int, ...], step: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """The parts of an array, of the shape ``step`` but for those at its ends, in their order."""
    starts = (range(0, size, length) for size, length in zip(shape, step, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(at, at + length) for at, length in zip(corner, step, strict=True))


READS_WELL = 16 * 1024**2
"""Bytes of a chunk of plain numbers, where its length is free: one request, and little memory."""
TOO_SMALL = 256 * 1024
"""Bytes below which a chunk costs more than it saves."""


def rows_that_divide(rows: int, row_bytes: int) -> int:
    """The rows of a chunk of plain numbers that divides all of them, and is quick to read.

    All of them where they are few, or only very small chunks would divide them.
    """
    if rows * row_bytes <= READS_WELL:
        return rows
    most = max(1, READS_WELL // max(1, row_bytes))
    divisor = next(count for count in range(min(most, rows), 0, -1) if rows % count == 0)
    return divisor if divisor * row_bytes >= TOO_SMALL or row_bytes >= TOO_SMALL else rows
