"""NetCDF3: what a file says of the size of its arrays, and how it is opened."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np

from vzarr.errors import InputError
from vzarr.limits import Declared
from vzarr.sources.content import Content


def netcdf3_declared(content: Content, group: str) -> list[Declared]:
    """What a NetCDF3 file says of its variables, which are stored as they are.

    Raises
    ------
    InputError
        If it is shorter than they are.
    """
    if "netcdf3 declared" in content.cache:
        return content.cache["netcdf3 declared"]
    arrays = []
    with open_netcdf3(content) as file:
        for name, variable in file.variables.items():
            grows = any(file.dimensions[dim].isunlimited() for dim in variable.dimensions)
            shape = tuple(variable.shape)
            chunk = (1, *shape[1:]) if grows else None
            is_loaded = variable.dimensions == (name,)
            itemsize = np.dtype(variable.dtype).itemsize
            arrays.append(Declared(name, shape, itemsize, chunk, is_loaded=is_loaded))
    if content.size and sum(array.nbytes for array in arrays) > content.size:
        needed = sum(array.nbytes for array in arrays)
        raise InputError(
            f"{content.url}: its variables take {needed} bytes, the file at {content.size}: it is "
            "incomplete; fetch it again."
        )
    content.cache["netcdf3 declared"] = arrays
    return arrays


def open_netcdf3(content: Content) -> netCDF4.Dataset:
    if isinstance(content.handle, Path):
        return netCDF4.Dataset(content.handle)
    return netCDF4.Dataset(content.url, memory=content.read())
