"""Strips: one line of bins each, as SVG that a page can hold without anything from elsewhere.

Plotting libraries write 20 kB and more for such a line, with text that shrinks on a phone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from markupsafe import Markup

FAINT = 0.35
"""The least opacity of a bin in which anything is: one record of thousands has to be seen."""


def strip(lanes: Mapping[str, np.ndarray], text: str) -> Markup:
    """One strip. ``lanes``: shares of each bin by class of CSS, put upon one another."""
    bins = len(next(iter(lanes.values())))
    body = []
    base = np.zeros(bins)
    for name, shares in lanes.items():
        body += _bars(name, base, shares)
        base = base + shares
    return Markup(
        '<svg class="strip" viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><title>{}</title>{}</svg>'
    ).format(bins, text, text, Markup("").join(body))


def marks(name: str, shares: np.ndarray, text: str) -> Markup:
    """A strip of what is rare: each bin in which anything is is drawn in full height."""
    body = []
    for begin, end, share in _runs(np.round(shares, 2) + (shares > 0) * 1e-6):
        if share == 0:
            continue
        opacity = FAINT + (1 - FAINT) * min(1.0, share.real)
        body.append(
            Markup(
                '<rect class="{}" x="{}" y="0" width="{}" height="100" opacity="{:.2f}"/>'
            ).format(name, begin, end - begin, opacity)
        )
    return Markup(
        '<svg class="strip" viewBox="0 0 {} 100" preserveAspectRatio="none" role="img" '
        'aria-label="{}"><title>{}</title>{}</svg>'
    ).format(len(shares), text, text, Markup("").join(body))


def _bars(name: str, base: np.ndarray, shares: np.ndarray) -> list[Markup]:
    tops = np.round((base + shares) * 100, 1) + np.round(base * 100, 1) * 1j
    bars = []
    for begin, end, pair in _runs(tops):
        top, bottom = pair.real, pair.imag
        if top > bottom:
            bars.append(
                Markup('<rect class="{}" x="{}" y="{:g}" width="{}" height="{:g}"/>').format(
                    name, begin, 100 - top, end - begin, top - bottom
                )
            )
    return bars


def _runs(values: np.ndarray) -> list[tuple[int, int, complex]]:
    """Neighbours that are equal, as begin, end and value."""
    cuts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)]
    return [(begin, end, complex(values[begin])) for begin, end in pairwise(cuts)]
