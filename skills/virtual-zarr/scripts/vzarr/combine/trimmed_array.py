"""Some rows of a file's array, where a neighbour has the others, too."""

from __future__ import annotations

import math
from typing import Any

import xarray as xr
from virtualizarr.manifests import ManifestArray

from vzarr.combine.mixed_array import TrimmedArray, chunks_of
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.virtualize.model import is_virtual
from vzarr.virtualize.plain_chunks import cut, is_plain


def trim_array(array: ManifestArray, axis: int, first: int, stop: int) -> ManifestArray:
    """The rows from ``first`` to ``stop`` along an axis; plain numbers are cut between rows."""
    length = array.shape[axis]
    if is_plain(array, axis):
        chunk = manifest_chunk_shape(array.metadata)[axis]
        cuts = () if stop == length else (stop,)
        rows = math.gcd(chunk, length % chunk, first, *cuts)
        array = cut(array, axis, rows) if rows != chunk else array
    chunk = manifest_chunk_shape(array.metadata)[axis]
    begin = first // chunk
    source = chunks_of(array, axis, begin, stop)
    skipped = first - begin * chunk
    return TrimmedArray(source, axis, skipped) if skipped else source


def trim_dataset(dataset: xr.Dataset, dimension: str, first: int, stop: int) -> xr.Dataset:
    """A file's dataset with the steps from ``first`` to ``stop``."""
    variables: dict[Any, xr.Variable] = {}
    for name, variable in dataset.variables.items():
        if dimension not in variable.dims:
            variables[name] = variable
        elif is_virtual(variable):
            axis = variable.dims.index(dimension)
            data = trim_array(variable.data, axis, first, stop)
            variables[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
        else:
            variables[name] = variable.isel({dimension: slice(first, stop)})
    trimmed = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=dataset.attrs)
    return trimmed.assign(variables).set_coords([n for n in dataset.coords if n in variables])
