"""The order of records: the one place that judges it."""

from __future__ import annotations

import numpy as np

from vzarr.combine.compatibility import Difference
from vzarr.text import option
from vzarr.virtualize.describe import RUN, STEP
from vzarr.virtualize.model import ParsedFile, digest


def order_problem(previous: ParsedFile, following: ParsedFile, dimension: str) -> Difference | None:
    """The overlap of two neighbours along the record coordinate, if there is one.

    Also reports a file whose own coordinate does not increase strictly.
    """
    index = following.dataset.indexes.get(dimension)
    if index is None:
        return None
    if not (index.is_monotonic_increasing and index.is_unique):
        return Difference(
            following.source.url,
            dimension,
            "the order of its values",
            "not strictly increasing",
            "strictly increasing",
            "a store that can be selected by label",
        )
    before = previous.dataset.indexes[dimension]
    if previous is not following and index[0] <= before[-1]:
        return Difference(
            following.source.url,
            dimension,
            "the first value",
            str(index[0]),
            f"has to be later than {before[-1]}, the last",
            previous.source.url,
            "Files must not overlap: leave one of them out"
            + _of_runs(previous, following, dimension),
        )
    return None


def _of_runs(previous: ParsedFile, following: ParsedFile, dimension: str) -> str:
    """What else is to be done with forecasts, whose valid times are shared, and with grids."""
    steps = [file.dataset.variables.get(STEP) for file in (previous, following)]
    known = [step.values for step in steps if step is not None and step.dims == (dimension,)]
    dims: tuple[str, ...] = ()
    if len(known) == len(steps):
        dims = (RUN,) if np.array_equal(known[0], known[1]) else (RUN, STEP)
    elif others := _other_places(previous, following, dimension):
        dims = (dimension, others[0])
    if not dims:
        return ""
    options = " ".join(option("--concat-dim", dim) for dim in dims)
    return f", or combine them along {' and '.join(dims)} ({options})"


def _other_places(previous: ParsedFile, following: ParsedFile, dimension: str) -> list[str]:
    """Scalar numbers and times that tell two files apart, as the hours of a forecast."""
    mine, theirs = following.scalars, previous.scalars
    return sorted(
        name
        for name in mine.keys() & theirs.keys() - {dimension}
        if mine[name].dtype.kind in "iufmM" and digest(mine[name]) != digest(theirs[name])
    )
