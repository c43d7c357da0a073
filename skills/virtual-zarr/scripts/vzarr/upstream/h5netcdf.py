"""Files of thousands of variables, which h5netcdf reads in minutes instead of seconds.

h5netcdf 1.8.2 opens a dataset anew whenever it is asked for anything of it, looks through all
variables of an unlimited dimension for its size, and lets HDF5 search the file for the name of each
dimension of each variable: https://github.com/h5netcdf/h5netcdf/issues/195.

Remove when: h5netcdf keeps what it has found of files that are only read, as in
https://github.com/h5netcdf/h5netcdf/pull/221.
"""

from __future__ import annotations

import h5py
from h5netcdf.core import BaseObject, BaseVariable, _unlabeled_dimension_mix
from h5netcdf.dimensions import Dimension
from h5py import h5r

from vzarr.upstream.hdf5_names import name_once

_open = BaseObject._h5ds.fget


_look_for_size = Dimension.size.fget


_look_for_names = BaseVariable._lookup_dimensions


def patch_h5netcdf() -> None:
    """Remember datasets, sizes and names of the dimensions of files that are only read."""
    BaseObject._h5ds = property(_open_once)
    Dimension.size = property(_size_once)
    BaseVariable._lookup_dimensions = _dimensions_once


def _open_once(item: BaseObject) -> h5py.Dataset:
    if item._root._writable:
        return _open(item)
    known = vars(item)
    if "opened_once" not in known:
        known["opened_once"] = _open(item)
    return known["opened_once"]


def _size_once(dimension: Dimension) -> int:
    if dimension._root._writable:
        return _look_for_size(dimension)
    known = vars(dimension)
    if "size_once" not in known:
        known["size_once"] = _look_for_size(dimension)
    return known["size_once"]


def _dimensions_once(variable: BaseVariable) -> tuple[str, ...]:
    """As the original, for variables with a scale on each dimension, the last one of several."""
    root, dataset = variable._root, variable._h5ds
    if (
        root._writable
        or dataset.attrs.get("CLASS") == b"DIMENSION_SCALE"
        or "DIMENSION_LIST" not in dataset.attrs
        or _unlabeled_dimension_mix(dataset) != "labeled"
    ):
        return _look_for_names(variable)
    scales = [
        h5r.dereference(references[-1], dataset.id)
        for references in dataset.attrs["DIMENSION_LIST"]
    ]
    return tuple(name_once(scale).rpartition("/")[2] for scale in scales)
