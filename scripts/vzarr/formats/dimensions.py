"""Names of dimensions, each once in a variable."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import xarray as xr

from vzarr.upstream.xarray import unread_data


def with_distinct_dimensions(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """Rename the second of two equal dimensions of a variable: ``layer, layer`` to ``layer_2``.

    Says so in ``notes``.

    xarray can neither combine nor index a variable that has one dimension twice.
    """
    renamed = {}
    for name, variable in dataset.variables.items():
        if len(set(variable.dims)) < len(variable.dims):
            dims = distinct(variable.dims)
            data = unread_data(variable)
            renamed[name] = xr.Variable(dims, data, variable.attrs, variable.encoding)
            notes.append(f"{name} has the dimensions {', '.join(dims)}: one name stood there twice")
    if not renamed:
        return dataset
    corrected = dataset.drop_vars(list(renamed)).assign(renamed)
    corrected = corrected.set_coords([name for name in renamed if name in dataset.coords])
    corrected.encoding = dataset.encoding
    return corrected


def distinct(dims: Sequence[Hashable]) -> tuple[str, ...]:
    """Names of dimensions, each once."""
    names: list[str] = []
    for dim in map(str, dims):
        count = 1
        while (name := dim if count == 1 else f"{dim}_{count}") in names:
            count += 1
        names.append(name)
    return tuple(names)
