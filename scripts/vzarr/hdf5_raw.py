"""HDF5 by h5py alone, for files that h5netcdf refuses as a whole: one link, type or attribute
that NetCDF does not know is enough for that.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import xarray as xr

from vzarr.lazy import lazy_variable

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


def open_raw(file: h5py.File, group: str) -> tuple[xr.Dataset, dict[str, str]]:
    """One group, not CF-decoded, and what in it holds no values, each with its reason."""
    room = file[group or "/"]
    variables: dict[str, xr.Variable] = {}
    nothing: dict[str, str] = {}
    for name in room:
        if name not in room:
            nothing[name] = "a link that leads nowhere"
            continue
        if room.get(name, getclass=True) is not h5py.Dataset:
            continue
        dataset = room[name]
        if is_placeholder(dataset):
            continue
        if dataset.shape is None:
            nothing[name] = "an HDF5 null dataspace: it has no values"
            continue
        variables[name.removeprefix(HIDDEN)] = _variable(dataset)
    dataset = xr.Dataset(_agreeing(variables), attrs=attributes(room))
    return dataset, nothing


def is_placeholder(dataset: h5py.Dataset) -> bool:
    label = dataset.attrs.get("NAME", b"") if "NAME" in dataset.attrs else b""
    return isinstance(label, bytes) and label.startswith(PLACEHOLDER)


def attributes(item: h5py.Dataset | h5py.Group) -> dict[str, Any]:
    """Those that say something outside of HDF5: numbers and text."""
    found = {}
    for key in item.attrs:
        if key in INTERNAL:
            continue
        try:
            value = item.attrs[key]
        except (OSError, TypeError, ValueError, UnicodeDecodeError):
            continue  # of a type that h5py does not read
        value = _plain(value)
        if value is not None:
            found[key] = value
    if isinstance(found.get("coordinates"), list):  # a word in each, which xarray cannot split
        found["coordinates"] = " ".join(found["coordinates"])
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "SO":
            texts = [_plain(item) for item in value.ravel().tolist()]
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
    dtype = dataset.dtype if dataset.dtype.names else dataset.dtype.newbyteorder("=")

    def read(key: tuple) -> np.ndarray:
        return np.asarray(reader[key], dtype=dtype)

    encoding: dict[str, Any] = {"dtype": dtype}
    return lazy_variable(
        _dimensions(dataset), dataset.shape, dtype, read, attributes(dataset), encoding
    )


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
    lengths: dict[str, int] = {}
    for variable in variables.values():
        variable.dims = tuple(
            dim if lengths.setdefault(dim, size) == size else f"{dim}_{size}"
            for dim, size in zip(variable.dims, variable.shape, strict=True)
        )
    return variables
