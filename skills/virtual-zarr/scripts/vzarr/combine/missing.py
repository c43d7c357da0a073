"""Variables that some files lack, or that begin later: missing there, as their fill value says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from vzarr.combine.mixed_array import empty_array
from vzarr.combine.recode import packing_of, reads_as
from vzarr.text import drop_options
from vzarr.upstream.virtualizarr import chunk_urls, copy_and_replace_metadata, with_fill_value
from vzarr.virtualize.model import ParsedFile, is_virtual

LACKED = 0.5
"""The share of the variables that grow which a file may lack: one that lacks more is another's.
Of the groups of a file some may lack more: what a file shares is counted in groups."""


def names_in_gaps(dataset: xr.Dataset, dimension: str) -> list[str]:
    """The variables that are missing in a gap: no coordinates, and no bounds of these."""
    bounds = {
        said.get("bounds")
        for variable in dataset.variables.values()
        for said in (variable.attrs, variable.encoding)
    }
    return [
        str(name)
        for name, variable in dataset.data_vars.items()
        if dimension in variable.dims and name not in bounds
    ]


def with_missing(
    files: Sequence[ParsedFile], dimension: str, first: ParsedFile | None
) -> list[ParsedFile]:
    """Files with all variables that one of them has, or ``first``, which stands for what is stored.

    Those that cannot be missing stay out: comparing the files says so.
    """
    every = [first, *files] if first is not None else list(files)
    owners: dict[str, ParsedFile] = {}
    for file in every:
        for name in map(str, file.dataset.variables):
            owners.setdefault(name, file)
    if all(len(file.dataset.variables) == len(owners) for file in files):
        return list(files)
    growing = {name for name, owner in owners.items() if dimension in owner.dataset[name].dims}
    renamed = {id(file): _with_fill_values(file, every, growing) for file in every}
    owners = {name: renamed[id(owner)] for name, owner in owners.items()}
    return [_filled(renamed[id(file)], owners, growing, dimension) for file in files]


def _with_fill_values(
    file: ParsedFile, every: Sequence[ParsedFile], growing: set[str]
) -> ParsedFile:
    """A file whose arrays say that something is missing where other files lack them.

    netCDF's own fill value (9.97e36) without ``_FillValue`` is a number for all readers. Where all
    chunks are written, no value is the array's fill value, so another one changes none.
    """
    new = {}
    for name in growing.intersection(map(str, file.dataset.variables)):
        owners = [each for each in every if name in each.dataset.variables]
        value = None if len(owners) == len(every) else _fill_value(owners[0], name)
        if value is not None and all(_is_whole(each.dataset[name].variable) for each in owners):
            variable = file.dataset[name].variable
            data: Any = with_fill_value(variable.data, value)
            new[name] = xr.Variable(variable.dims, data, variable.attrs, variable.encoding)
    return replace(file, dataset=file.dataset.assign(new)) if new else file


def _fill_value(owner: ParsedFile, name: str) -> Any | None:
    """What would say in place of an array's fill value that something is missing, if that does not.

    None too where nothing would.
    """
    variable, packing = owner.dataset[name].variable, owner.packing.get(name, {})
    if not is_virtual(variable) or missing_values(variable, packing, {}) is not None:
        return None
    if variable.dtype.kind == "f":
        return variable.dtype.type(np.nan)
    value = packing.get("_FillValue")
    return variable.dtype.type(value) if variable.dtype.kind in "iu" and value is not None else None


def _is_whole(variable: xr.Variable) -> bool:
    """Whether each chunk of an array was written."""
    array = variable.data
    return isinstance(array, ManifestArray) and bool((chunk_urls(array.manifest) != "").all())


def _filled(
    file: ParsedFile, owners: dict[str, ParsedFile], growing: set[str], dimension: str
) -> ParsedFile:
    lacked = [name for name in owners if name not in file.dataset.variables]
    lacks = len(growing.intersection(lacked))
    is_column = bool(file.own)  # others of its records lie, or may lie, beside it
    if not file.group and not is_column and lacks > LACKED * len(growing - {dimension}):
        return file
    new: dict[str, xr.Variable] = {}
    packing, digests = dict(file.packing), dict(file.digests)
    for name in lacked:
        owner = owners[name]
        variable = owner.dataset[name].variable
        filled: xr.Variable | None = variable
        if name in growing:
            sizes = {dimension: file.dataset.sizes.get(dimension, 1)}
            filled = missing_values(variable, owner.packing.get(name, {}), sizes)
        if filled is None or not _fits(filled, file.dataset, dimension):
            continue
        new[name] = filled
        packing[name] = owner.packing.get(name, {})
        if name in owner.digests:
            digests[name] = owner.digests[name]
    if not new:
        return file
    coordinates = [name for name in new if name in owners[name].dataset.coords]
    dataset = file.dataset.assign(new).set_coords(coordinates)
    note = (
        f"{file.source.url}: has no {', '.join(sorted(new))}: missing in its records; "
        f"{drop_options(sorted(new))} leaves it out of all"
    )
    return replace(
        file,
        dataset=dataset,
        packing=packing,
        digests=digests,
        lacks=tuple(sorted(new)),
        notes=[*file.notes, note],
    )


def _fits(variable: xr.Variable, dataset: xr.Dataset, dimension: str) -> bool:
    sizes = zip(variable.dims, variable.shape, strict=True)
    return all(dim == dimension or dataset.sizes.get(dim, size) == size for dim, size in sizes)


def missing_values(
    variable: xr.Variable,
    packing: Mapping[str, Any],
    sizes: Mapping[Any, int],
    any_time: bool = False,
) -> xr.Variable | None:
    """A variable of which all is missing, of other ``sizes``; None if nothing stands for that.

    ``any_time``: also one of times whose fill value is not known.
    """
    shape = [sizes.get(dim, size) for dim, size in zip(variable.dims, variable.shape, strict=True)]
    if is_virtual(variable):
        metadata = variable.data.metadata
        packed = packing_of(dict(packing))
        values = reads_as(np.asarray(metadata.fill_value), variable.dtype, packed)
        if values.dtype.kind not in "fc" or not np.isnan(values).all():
            return None
        data = empty_array(copy_and_replace_metadata(metadata, new_shape=shape))
        return xr.Variable(variable.dims, data, variable.attrs)
    is_time = variable.dtype.kind == "M" and (any_time or "_FillValue" in variable.encoding)
    if variable.dtype.kind != "f" and not is_time:
        return None
    values = np.full(shape, "NaT" if is_time else np.nan, variable.dtype)
    return xr.Variable(variable.dims, values, variable.attrs, variable.encoding)
