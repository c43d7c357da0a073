"""NetCDF3, by netCDF-C and by VirtualiZarr's parser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import NetCDF3Parser

from vzarr.errors import InputError
from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import open_decoded
from vzarr.limits import Declared
from vzarr.sources.content import Content
from vzarr.upstream.netcdf3_parser import unfit_fills_left_out
from vzarr.upstream.virtualizarr import group_of


def list_groups(content: Content) -> list[str]:
    """The root: NetCDF3 has no others."""
    return [""]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """By netCDF-C, from memory where the file is remote."""
    check_arrays(content, group, content.once(_declared), drop)
    options: dict[str, Any] = {
        "decode_times": decode_times,
        "drop_variables": list(drop),
        "cache": False,
    }

    def opened(**more: Any) -> xr.Dataset:
        if isinstance(content.handle, Path):
            return xr.open_dataset(content.handle, engine="netcdf4", **options, **more)
        return xr.open_dataset(xr.backends.NetCDF4DataStore(_open(content)), **options, **more)

    return open_decoded(opened)


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """As the parser makes it."""
    with unfit_fills_left_out():
        return group_of(NetCDF3Parser(skip_variables=list(drop))(url=url, registry=registry))


def _declared(content: Content) -> list[Declared]:
    """What a NetCDF3 file says of its variables, which are stored as they are.

    Raises
    ------
    InputError
        If it is shorter than they are.
    """
    arrays = []
    with _open(content) as file:
        for name, variable in file.variables.items():
            grows = any(file.dimensions[dim].isunlimited() for dim in variable.dimensions)
            shape = tuple(variable.shape)
            chunk = (1, *shape[1:]) if grows else None
            is_loaded = variable.dimensions == (name,)
            itemsize = np.dtype(variable.dtype).itemsize
            arrays.append(Declared(name, shape, itemsize, chunk, is_loaded=is_loaded))
    needed = sum(array.nbytes for array in arrays)
    if content.size and needed > content.size:
        raise InputError(
            f"{content.url}: its variables take {needed} bytes, the file at {content.size}: it is "
            "incomplete; fetch it again."
        )
    return arrays


def _open(content: Content) -> netCDF4.Dataset:
    if isinstance(content.handle, Path):
        return netCDF4.Dataset(content.handle)
    return netCDF4.Dataset(content.url, memory=content.read())
