"""HDF4: scientific datasets by pyhdf and by VirtualiZarr's parser, which is kerchunk's."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import kerchunk.hdf4
import numpy as np
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from pyhdf.error import HDF4Error
from pyhdf.SD import SD
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import HDF4Parser

from vzarr.native import Content


def list_groups(content: Content) -> list[str]:
    return [""]


def open_raw(content: Content, group: str) -> xr.Dataset:
    variables: dict[str, xr.Variable] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = content.handle
        if not isinstance(path, Path):
            path = Path(folder, "file.hdf")
            path.write_bytes(content.read())
        file = SD(str(path))
        try:
            for name, (dims, shape, _, index) in file.datasets().items():
                dataset = file.select(index)
                shape = (shape,) if isinstance(shape, int) else shape
                empty = 0 in shape
                values = np.empty(shape) if empty else np.asarray(dataset.get()).reshape(shape)
                variables[name] = xr.Variable(
                    tuple(dim.replace(":", "_").replace("/", "_") for dim in dims),
                    values,
                    {key: _plain(value) for key, value in dataset.attributes().items()},
                )
                dataset.endaccess()
            attributes = {key: _plain(value) for key, value in file.attributes().items()}
        except HDF4Error as error:
            raise ValueError(f"pyhdf cannot read it: {error}") from error
        finally:
            file.end()
    return xr.Dataset(_own_lengths(variables), attrs=attributes)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else np.asarray(value)


def _own_lengths(variables: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """HDF4 allows one name for dimensions of several lengths; the later ones get the length."""
    lengths: dict[str, int] = {}
    for variable in variables.values():
        dims = []
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            known = lengths.setdefault(dim, size)
            dims.append(dim if known == size else f"{dim}_{size}")
        variable.dims = tuple(dims)
    return variables


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    kerchunk.hdf4.dtypes.update({5: ">f4", 6: ">f8"})  # kerchunk 0.2.10 swaps their bytes
    return HDF4Parser(skip_variables=drop)(url=url, registry=registry)._group
