"""Steps of sources that were removed: what is left is compared, and a gap has to be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.file_steps import is_gap, is_missing, is_partial, runs_of, steps_in_store
from vzarr.combine.missing import names_in_gaps
from vzarr.combine.store_metadata import span_of
from vzarr.verification.open import OpenedGroup
from vzarr.verification.report import Failure, Report

Variables = tuple[xr.Variable, xr.Variable]


def compare_gaps(
    pair: OpenedGroup,
    number: int,
    report: Report,
    is_missing_in: Callable[[xr.Variable, str, slice], bool],
) -> None:
    """All data in the gaps of a source have to be missing."""
    record, dimension = pair.metadata["sources"][number], pair.metadata["concat_dim"]
    if dimension is None or not (is_gap(record) or is_partial(record)):
        return
    span = span_of(pair.metadata, number)
    missing = is_missing(record, pair.group, span.stop - span.start)
    for first, stop in runs_of(np.flatnonzero(missing)):
        part = slice(span.start + first, span.start + stop)
        for name in names_in_gaps(pair.dataset, dimension):
            if not is_missing_in(pair.dataset.variables[name], dimension, part):
                text = f"{name} has values in {dimension}[{part.start}:{part.stop}], which is a gap"
                report.failures.append(Failure(record["url"], text, pair.group))


def steps_there(name: str, both: Variables, pair: OpenedGroup, record: Any) -> Iterator[Variables]:
    """A source's part of a stored variable, and its own, without the steps that were removed."""
    mine, truth = both
    dimension = pair.metadata["concat_dim"]
    if (
        dimension is None
        or not is_partial(record)
        or not {dimension} <= {*mine.dims} & {*truth.dims}
    ):
        yield both
        return
    length = mine.sizes[dimension]
    own = steps_in_store(record, pair.group, length)
    if len(own) and truth.sizes[dimension] <= own[-1]:  # one number of the file for all its records
        yield both
        return
    there = np.ones(length, bool)
    if name in names_in_gaps(pair.dataset, dimension):
        there = ~is_missing(record, pair.group, length)
    for first, stop in runs_of(np.flatnonzero(there)):
        # Neighbours in the store need not be neighbours in the file.
        for start, end in runs_of(own[first:stop]):
            at = int(np.searchsorted(own, start))
            yield (
                mine.isel({dimension: slice(at, at + end - start)}),
                truth.isel({dimension: slice(start, end)}),
            )
