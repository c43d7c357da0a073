"""HDF5 files of thousands of variables, which the libraries read in minutes instead of seconds.

h5netcdf 1.8.2 opens a dataset anew whenever it is asked for anything of it, and looks through all
variables of an unlimited dimension for its size. That, and VirtualiZarr 2.8.0, let HDF5 search the
file for the name of each dimension of each variable.
"""

from __future__ import annotations

import h5py
import virtualizarr.parsers.hdf.hdf as virtualizarr_hdf
from h5netcdf.core import BaseObject, BaseVariable, _unlabeled_dimension_mix
from h5netcdf.dimensions import Dimension
from h5py import h5d, h5i, h5o, h5r

NAMES_LIMIT = 10_000
"""Names of dimension scales that are remembered."""


_open = BaseObject._h5ds.fget


_look_for_size = Dimension.size.fget


_look_for_names = BaseVariable._lookup_dimensions


_look_for_scales = virtualizarr_hdf._dataset_dims


_names: dict[tuple[int, int], str] = {}


def patch_readers() -> None:
    """Remember datasets, sizes and names of the dimensions of files that are only read."""
    BaseObject._h5ds = property(_open_once)
    Dimension.size = property(_size_once)
    BaseVariable._lookup_dimensions = _dimensions_once
    virtualizarr_hdf._dataset_dims = _scales_once


def name_once(identifier: h5d.DatasetID) -> str:
    """The name that HDF5 finds for an open dataset, which it searches the file for.

    HDF5 gives a file another number each time that it is opened.
    """
    found = h5o.get_info(identifier)
    key = (found.fileno, found.addr)
    if key not in _names:
        if len(_names) >= NAMES_LIMIT:
            _names.clear()
        _names[key] = h5i.get_name(identifier).decode()
    return _names[key]


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


def _scales_once(dataset: h5py.Dataset, group: str = "/") -> list[str]:
    """As the original, for datasets with one scale on each dimension."""
    axes = [dataset.dims[axis] for axis in range(len(dataset.shape))]
    if any(len(axis) != 1 for axis in axes):
        return _look_for_scales(dataset, group)
    return [name_once(axis[0].id).removeprefix(group).removeprefix("/") for axis in axes]
