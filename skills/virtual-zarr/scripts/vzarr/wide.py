"""HDF5 files of thousands of variables, which h5netcdf 1.8.2 reads in minutes instead of seconds.

It looks through all variables of an unlimited dimension whenever it is asked for its size, and lets
HDF5 search the file for the name of each dimension of each variable.
"""

from __future__ import annotations

import h5py
from h5netcdf.core import BaseVariable, _unlabeled_dimension_mix
from h5netcdf.dimensions import Dimension

_look_for_size = Dimension.size.fget
_look_for_names = BaseVariable._lookup_dimensions


def patch_h5netcdf() -> None:
    """Remember sizes and names of the dimensions of files that are only read."""
    Dimension.size = property(_size_once)
    BaseVariable._lookup_dimensions = _names_once


def _size_once(dimension: Dimension) -> int:
    if dimension._root._writable:
        return _look_for_size(dimension)
    known = vars(dimension)
    if "size_once" not in known:
        known["size_once"] = _look_for_size(dimension)
    return known["size_once"]


def _names_once(variable: BaseVariable) -> tuple[str, ...]:
    """As the original, for variables with a scale on each dimension, the last one of several."""
    root, dataset = variable._root, variable._h5ds
    if (
        root._writable
        or dataset.attrs.get("CLASS") == b"DIMENSION_SCALE"
        or "DIMENSION_LIST" not in dataset.attrs
        or _unlabeled_dimension_mix(dataset) != "labeled"
    ):
        return _look_for_names(variable)
    known = vars(root).setdefault("scale_names", {})
    names = []
    for references in dataset.attrs["DIMENSION_LIST"]:
        scale = root._h5file[references[-1]]
        address = h5py.h5o.get_info(scale.id).addr
        if address not in known:
            known[address] = scale.name.rpartition("/")[2]
        names.append(known[address])
    return tuple(names)
