"""Archives along two dimensions: files of one run, a step each, become one file of that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from vzarr.combine.combine import with_record_dimension
from vzarr.combine.compatibility import SEPARATE
from vzarr.combine.groups import combine_groups
from vzarr.errors import Refused
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import ParsedFile, digest, is_virtual


def merge_rows(
    files: Sequence[ParsedFile], dimension: str, inner: str, access: Access
) -> list[ParsedFile]:
    """One file for all that have the same records along ``dimension``, combined along ``inner``.

    Raises
    ------
    Refused
        If the files of a row differ, or if one row has not got the same values along ``inner`` as
        the others.
    """
    rows: dict[tuple, list[ParsedFile]] = {}
    for file in files:
        file = _with_both(file, dimension, inner)
        rows.setdefault(_values(file, dimension), []).append(file)
    merged = [_merged(row, dimension, inner, access) for row in rows.values()]
    first = merged[0]
    for other in merged[1:]:
        mine, expected = (set(_values(file, inner)) for file in (other, first))
        if mine != expected:
            lacks = sorted(expected - mine) or sorted(mine - expected)
            which, of = (other, first) if expected - mine else (first, other)
            raise Refused(
                f"{which.source.url}: with the files of the same {dimension} it has no {inner} of "
                f"{', '.join(map(str, lacks[:5]))}, which {of.source.url} has. Leave files out, or "
                "name those that are missing."
            )
    return merged


def _with_both(file: ParsedFile, dimension: str, inner: str) -> ParsedFile:
    """A file with both dimensions, the second behind the first; of groups each has them."""
    if file.children:
        return file
    file = with_record_dimension(file, dimension)
    dataset = file.dataset
    if inner in dataset.dims:
        return file
    scalar = dataset.variables.get(inner)
    if scalar is not None and is_virtual(scalar):
        scalar = file.scalars.get(inner)
    if scalar is None or scalar.ndim > 1:
        raise Refused(f"{file.source.url}: has no {inner} that tells its place. {SEPARATE}.")
    grown = {}
    for name in dataset.data_vars:
        variable = dataset.variables[name]
        if not variable.ndim or name == inner:
            continue
        axis = variable.dims.index(dimension) + 1 if dimension in variable.dims else 0
        dims = (*variable.dims[:axis], inner, *variable.dims[axis:])
        data = np.expand_dims(variable.data, axis=axis)
        grown[name] = xr.Variable(dims, data, variable.attrs, variable.encoding)
    place = xr.Variable((inner,), np.ravel(scalar.values), scalar.attrs, scalar.encoding)
    dataset = dataset.drop_vars(inner).assign(grown).assign_coords({inner: place})
    digests = {name: known for name, known in file.digests.items() if name not in {*grown, inner}}
    return replace(file, dataset=dataset, digests=digests)


def _values(file: ParsedFile, dimension: str) -> tuple:
    """The coordinate along a dimension, the same in all groups that have it."""
    parts = [file, *file.children.values()]
    indexes = [part.dataset.indexes.get(dimension) for part in parts]
    records = {tuple(index) for index in indexes if index is not None}
    if len(records) != 1:
        what = "has no values" if not records else "differs between its groups"
        raise Refused(f"{file.source.url}: {dimension} {what}, so nothing tells its place.")
    return records.pop()


def _merged(row: list[ParsedFile], dimension: str, inner: str, access: Access) -> ParsedFile:
    datasets, order, _ = combine_groups(row, inner, access)
    starts = np.cumsum([0, *(len(_values(file, inner)) for file in order)]).tolist()
    files = [
        replace(file, within=(inner, start, stop))
        for file, start, stop in zip(order, starts, starts[1:], strict=False)
    ]
    first = files[0]
    parts = {}
    for path, dataset in datasets.items():
        part = first.children[path] if path else first
        parts[path] = replace(part, dataset=dataset, companions=files[1:], digests={})
        for name, known in part.digests.items():
            variable = dataset.variables[name]
            if inner not in variable.dims:
                parts[path].digests[name] = known
            elif is_virtual(variable):
                raise Refused(
                    f"{first.source.url}: {name} lies along {inner} and not along {dimension}, so "
                    f"all files would have to share it. {SEPARATE}."
                )
            else:
                parts[path].digests[name] = digest(variable)
    root = parts.pop("", replace(first, companions=files[1:]))
    return replace(root, children=parts)
