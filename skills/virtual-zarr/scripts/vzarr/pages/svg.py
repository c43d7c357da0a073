"""Pictures of bins, as SVG that a page can hold without anything from elsewhere.

Plotting libraries write 20 kB and more for such a line, with text that shrinks on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from markupsafe import Markup

LEAST = 0.25
"""The least part of a cell that is drawn of a kind in it: one chunk of thousands is seen."""
ROW = 20
"""Height of a row of cells, in the units of the picture."""
NARROWEST = 2
"""The least width of a mark, in bins of the line."""


def cells(shares: Mapping[str, np.ndarray], text: str, rest: str = "amounts") -> Markup:
    """A map of cells. ``shares`` by class of CSS, of shape (rows, bins): how much of each cell is
    of that kind; the ``rest`` is as its class says.
    """
    kinds = {name: np.atleast_2d(each) for name, each in shares.items()}
    rows, bins = next(iter(kinds.values())).shape
    heights = _drawn(np.stack([*kinds.values()]))
    base = np.zeros((rows, bins))
    body = []
    for name, height in zip(kinds, heights, strict=True):
        path = "".join(_rectangles(base[row], height[row], row * ROW) for row in range(rows))
        if path:
            body.append(Markup('<path class="{}" d="{}"/>').format(name, path))
        base = base + height
    kind = f"strip {rest}" if rows == 1 else f"strip {rest} map"
    return _picture(kind, bins, rows * ROW, text, body)


def marks(name: str, shares: np.ndarray, text: str) -> Markup:
    """A line of what is rare: each bin in which anything is is drawn in full height, and wide
    enough to be seen.
    """
    bins = len(shares)
    body = []
    for begin, end, is_there in _runs(shares > 0):
        if is_there:
            more = max(0, NARROWEST - (end - begin))
            left = max(0, min(begin, bins - NARROWEST)) if more else begin
            body.append(
                Markup('<rect class="{}" x="{}" y="0" width="{}" height="{}"/>').format(
                    name, left, end - begin + more, ROW
                )
            )
    return _picture("strip", bins, ROW, text, body)


def _picture(kind: str, width: int, height: int, text: str, body: list[Markup]) -> Markup:
    return Markup(
        '<svg class="{}" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><title>{}</title>{}</svg>'
    ).format(kind, width, height, text, text, Markup("").join(body))


def _drawn(shares: np.ndarray) -> np.ndarray:
    """Heights of shares, with ``LEAST`` for each that is there, and for what lacks."""
    rest = np.clip(1 - shares.sum(axis=0), 0, 1)
    every = np.concatenate([shares, np.where(rest > 1e-9, rest, 0)[None]])
    every = np.where(every > 0, np.maximum(every, LEAST), 0)
    return (every / every.sum(axis=0))[:-1]


def _rectangles(base: np.ndarray, height: np.ndarray, top: int) -> str:
    """Neighbours that are drawn alike as one rectangle of a path."""
    low = np.round((1 - base) * ROW, 1)
    high = np.round((1 - base - height) * ROW, 1)
    parts = []
    for begin, end, pair in _runs(high + low * 1j):
        if pair.imag > pair.real:
            parts.append(
                f"M{begin} {top + pair.real:g}h{end - begin}v{pair.imag - pair.real:g}"
                f"h{begin - end}z"
            )
    return "".join(parts)


def _runs(values: np.ndarray) -> list[tuple[int, int, complex]]:
    """Neighbours that are equal, as begin, end and value."""
    cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(begin, end, complex(values[begin])) for begin, end in pairwise(cuts)]
