"""HDF5 by h5py alone, for files that h5netcdf refuses as a whole: one link, type or attribute
that NetCDF does not know is enough for that.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (registers the filters that h5py lacks)
import numpy as np
import xarray as xr
from h5py import h5d, h5l, h5o, h5z

from vzarr.errors import InputError
from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.reasons import TOO_LONG
from vzarr.limits import box_shape, boxes, check_number, limit
from vzarr.upstream.decoders import INFLATED, TooLong, check_deflated

SLACK = 65536
"""Bytes of headers and checksums that may come to a chunk in the file."""


STRINGS = 256
"""Strings that are read at a time while their bytes are counted."""


PLACEHOLDER = b"This is a netCDF dimension but not a netCDF variable"


HIDDEN = "_nc4_non_coord_"
"""What netCDF-C puts before the name of a variable that is no coordinate of its dimension."""


INTERNAL = {
    "CLASS",
    "NAME",
    "DIMENSION_LIST",
    "DIMENSION_LABELS",
    "REFERENCE_LIST",
    "_Netcdf4Coordinates",
    "_Netcdf4Dimid",
    "_NCProperties",
    "_nc3_strict",
}


@dataclass
class Group:
    """One group, not CF-decoded; what in it holds no values, and what no array can hold."""

    dataset: xr.Dataset
    nothing: dict[str, str]
    unfit: dict[str, str]


def kind_of(h5group: h5py.Group, name: str) -> type | None:
    """The class of what a name leads to; None for a link that leads nowhere."""
    try:
        return h5group.get(name, getclass=True)
    except (KeyError, OSError, RuntimeError):  # an external link to a file that is gone
        return None


def walk_groups(file: h5py.File) -> tuple[bool, int]:
    """Whether each group is met once, and how many levels of them there are.

    h5netcdf and netCDF-C go through a file by its paths, of which links can make any number out of
    a few groups.

    Returns
    -------
    is_once : bool
    levels : int
        Counted up to one more than is allowed.
    """
    most = limit("depth")
    seen = {h5o.get_info(file.id).addr}
    is_once, deepest = True, 0
    waiting = [(file.id, 1)]
    while waiting:
        group, level = waiting.pop()
        for name in group:
            if group.links.get_info(name).type != h5l.TYPE_HARD:
                continue
            info = h5o.get_info(group, name)
            if info.type != h5o.TYPE_GROUP:
                continue
            if info.addr in seen:
                is_once = False
                continue
            seen.add(info.addr)
            deepest = max(deepest, level)
            if level <= most:
                waiting.append((h5o.open(group, name), level + 1))
    return is_once, deepest


def check_contents(dataset: h5py.Dataset, url: str) -> None:
    """Refuse a dataset that unpacks to more than it declares, before HDF5 reads it.

    Deflate makes a thousand bytes of one, whatever the chunk's size; many strings of varying length
    can point to one long one.

    Raises
    ------
    InputError
        With what is wrong with it.
    """
    name = dataset.name.lstrip("/")
    plan = dataset.id.get_create_plist()
    if plan.get_layout() == h5d.CHUNKED and plan.get_nfilters() and dataset.size:
        chunks: list[Any] = []
        dataset.id.chunk_iter(chunks.append)
        last = plan.get_filter(plan.get_nfilters() - 1)[0]
        length = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
        for chunk in chunks:
            if chunk.size > longest_chunk(dataset):
                raise InputError(f"{url}: {name}: {TOO_LONG}; fetch the file again.")
            if last == h5z.FILTER_DEFLATE and chunk.size * INFLATED > limit("chunk"):
                _, data = dataset.id.read_direct_chunk(chunk.chunk_offset)
                try:
                    check_deflated(data, length + SLACK)
                except TooLong as error:
                    raise InputError(f"{url}: {name}: {error}; fetch the file again.") from error
                except zlib.error:
                    pass  # the reader says what is wrong with it
    if is_text(dataset) and dataset.size:
        total = 0
        for box in boxes(dataset.shape, box_shape(dataset.shape, 1, STRINGS)):
            total += sum(len(text) for text in np.asarray(dataset[box]).ravel())
            check_number(url, "load", total, f"{name}: the bytes of its text:")


def is_text(dataset: h5py.Dataset) -> bool:
    """Whether it holds strings of varying length."""
    return not foreign(dataset) and h5py.check_vlen_dtype(dataset.dtype) in (str, bytes)


def longest_chunk(dataset: h5py.Dataset) -> int:
    """Bytes that no compressor exceeds for a chunk: it would store it as it is."""
    return math.prod(dataset.chunks) * dataset.id.get_type().get_size() * 9 // 8 + SLACK


def suits_h5netcdf(file: h5py.File, group: str) -> bool:
    """Whether each dataset of a group is of a kind that h5netcdf reads."""
    h5group = file[group or "/"]
    for name in h5group:
        kind = kind_of(h5group, name)
        if kind is None:
            return False
        if kind is h5py.Dataset and not _suits_h5netcdf(h5group[name]):
            return False
    return True


def _suits_h5netcdf(dataset: h5py.Dataset) -> bool:
    if dataset.shape is None or foreign(dataset) or dataset.dtype.subdtype:
        return False
    if dataset.dtype.names and not dataset.ndim:  # of which xarray makes opaque bytes
        return False
    return dataset.dtype.kind != "O" or h5py.check_string_dtype(dataset.dtype) is not None


def foreign(dataset: h5py.Dataset) -> str:
    """Why NumPy has no type for a dataset, or an empty string."""
    try:
        dataset.dtype  # noqa: B018  (h5py translates the type here)
    except (TypeError, ValueError) as error:
        return f"is of a type that NumPy does not have ({error})"
    return ""


def open_raw(file: h5py.File, group: str, closed: Mapping[str, str]) -> Group:
    """One group; what is ``closed``, by path, counts as unfit for the reason that is given."""
    h5group = file[group or "/"]
    variables: dict[str, xr.Variable] = {}
    nothing: dict[str, str] = {}
    unfit: dict[str, str] = {}
    for name in h5group:
        if reason := closed.get(f"{group}/{name}".lstrip("/")):
            unfit[name] = reason
            continue
        kind = kind_of(h5group, name)
        if kind is None:
            nothing[name] = "a link that leads nowhere"
        if kind is not h5py.Dataset:
            continue
        dataset = h5group[name]
        if is_placeholder(dataset):
            continue
        if dataset.shape is None:
            nothing[name] = "an HDF5 null dataspace: it has no values"
            continue
        if reason := foreign(dataset):
            unfit[name] = reason
        elif h5py.check_vlen_dtype(dataset.dtype) not in (None, str, bytes):
            unfit[name] = "is of arrays of varying length, which Zarr has no type for"
        elif h5py.check_ref_dtype(dataset.dtype):
            unfit[name] = "is of references to other objects, which Zarr has no type for"
        else:
            variables[name.removeprefix(HIDDEN)] = _variable(dataset)
    return Group(xr.Dataset(_agreeing(variables), attrs=attributes(h5group)), nothing, unfit)


def is_placeholder(dataset: h5py.Dataset) -> bool:
    """Whether netCDF-4 keeps a dimension without a coordinate in this dataset."""
    label = dataset.attrs.get("NAME", b"") if "NAME" in dataset.attrs else b""
    return isinstance(label, bytes) and label.startswith(PLACEHOLDER)


def length_of_scale(scale: h5py.Dataset) -> int:
    """How long an unlimited dimension has become: as long as what was written along it.

    As h5netcdf finds it.
    """
    lengths = [scale.shape[0]]
    for reference, axis in scale.attrs.get("REFERENCE_LIST", ()):
        lengths.append(scale.file[reference].shape[axis])
    return max(lengths)


def attributes(item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Those that say something outside of HDF5: numbers and text."""
    read = {}
    for key in item.attrs:
        if key in INTERNAL:
            continue
        try:
            value = item.attrs[key]
        except (OSError, TypeError, ValueError, UnicodeDecodeError):
            continue  # of a type that h5py does not read
        value = _attribute_value(value)
        if value is not None:
            read[key] = value
    if isinstance(read.get("coordinates"), list):  # a word in each, which xarray cannot split
        read["coordinates"] = " ".join(read["coordinates"])
    return read


def _attribute_value(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "SO":
            texts = [_attribute_value(item) for item in value.ravel().tolist()]
            if not all(isinstance(text, str) for text in texts):
                return None
            return texts[0] if len(texts) == 1 else texts
        if value.dtype.kind not in "iufb":
            return None
        return value.reshape(-1)[0] if value.size == 1 else value
    return value if isinstance(value, str | np.number | np.bool_) else None


def _variable(dataset: h5py.Dataset) -> xr.Variable:
    is_text = h5py.check_string_dtype(dataset.dtype) is not None and dataset.dtype.kind == "O"
    reader = dataset.asstr(errors="replace") if is_text else dataset
    base, inner = dataset.dtype.subdtype or (dataset.dtype, ())  # arrays as elements
    dtype = base if base.names else base.newbyteorder("=")
    outer = dataset.ndim

    def read(key: tuple) -> np.ndarray:
        values = np.asarray(reader[key[:outer]])
        outer_axes = values.ndim - len(inner)
        return values[(slice(None),) * outer_axes + key[outer:]].astype(dtype, copy=False)

    shape = (*dataset.shape, *inner)
    dims = [*_dimensions(dataset)]
    for size in inner:
        dim = f"phony_dim_{size}"
        dims.append(f"{dim}_{len(dims)}" if dim in dims else dim)
    attrs = attributes(dataset)
    if dtype.kind not in "iuf":
        attrs.pop("_FillValue", None)  # which xarray cannot compare with text or records
    return lazy_variable(tuple(dims), shape, dtype, read, attrs, {"dtype": dtype})


def _dimensions(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of the scales; a dimension without one is named for its length."""
    own = dataset.name.rpartition("/")[2]
    names: list[str] = []
    for axis, length in enumerate(dataset.shape):
        name = f"phony_dim_{length}"
        try:
            if len(dataset.dims[axis]) == 1:
                name = dataset.dims[axis][0].name.rpartition("/")[2]
            elif dataset.ndim == 1 and dataset.is_scale:
                name = own
        except (RuntimeError, KeyError, AttributeError):
            pass  # a scale that is gone
        names.append(f"{name}_{axis}" if name in names else name)
    return tuple(names)


def _agreeing(variables: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """A dimension of several lengths gets another name where it is not as long as at first."""
    lengths: dict[Hashable, int] = {}
    for variable in variables.values():
        variable.dims = tuple(
            dim if lengths.setdefault(dim, size) == size else f"{dim}_{size}"
            for dim, size in zip(variable.dims, variable.shape, strict=True)
        )
    return variables
