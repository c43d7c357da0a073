"""What readers ask for: the number of chunks of a series and of a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vzarr.combine.copied import show_bytes


def costs(
    dims: Sequence[str],
    shape: Sequence[int],
    chunks: Sequence[Any],
    dimension: str,
    mean_bytes: float,
) -> tuple[str, str]:
    """What a reader asks for: chunks of one point in all records, and of all points of one record.

    Of levels and other axes in between one is read.
    """
    if dimension not in dims or len(dims) < 2:
        return "", ""
    counts = []
    for size, chunk in zip(shape, chunks, strict=True):
        if isinstance(chunk, list | tuple):
            counts.append(len(chunk))
        else:
            counts.append(-(-size // max(1, int(chunk))))
    axis = list(dims).index(dimension)
    space = [at for at in range(len(dims)) if at != axis][-2:]
    series = counts[axis]
    area = int(np.prod([counts[at] for at in space]))
    return _cost(series, mean_bytes), _cost(area, mean_bytes)


def _cost(requests: int, mean_bytes: float) -> str:
    size = f", {show_bytes(int(requests * mean_bytes))}" if mean_bytes > 0 else ""
    return f"{counted(requests, 'request')}{size}"


def counted(count: int, what: str) -> str:
    """A number of things in words."""
    if count == 1:
        return f"1 {what}"
    many = {"stretch of records": "stretches of records"}.get(what, f"{what}s")
    return f"{count:,} {many}"


def length(chunk: Any) -> str:
    """Of chunks along one dimension: their length, or the range of their lengths."""
    if not isinstance(chunk, list | tuple):
        return str(chunk)
    lengths = [part[0] if isinstance(part, list | tuple) else part for part in chunk]
    return f"{min(lengths)} to {max(lengths)}"
