"""Zarr of both formats, in folders and in zip files, read by zarr itself."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import ZarrParser, ZippedZarrParser
from zarr.core.buffer import default_buffer_prototype
from zarr.errors import ContainsArrayError

from vzarr.errors import InputError
from vzarr.lazy import lazy_variable
from vzarr.native import Content, detect_format


def list_groups(content: Content) -> list[str]:
    store, root = _store(content)
    try:
        group = zarr.open_group(store, path=root, mode="r")
    except ContainsArrayError:
        raise InputError(
            f"{content.url}: a single Zarr array without a group: name the folder above it, if "
            "that is a group, or put the array into one."
        ) from None
    held = {name.rpartition("/")[0] for name, item in group.members(None) if _is_array(item)}
    return sorted({"", *held})


def open_raw(content: Content, group: str) -> xr.Dataset:
    store, root = _store(content)
    path = "/".join(part for part in (root, group) if part)
    try:
        return xr.open_zarr(
            store, group=path or None, consolidated=False, chunks=None, decode_cf=False
        )
    except (KeyError, ValueError):  # dimensions without names
        return _unnamed(zarr.open_group(store, path=path, mode="r"))


def _unnamed(group: zarr.Group) -> xr.Dataset:
    """Dimensions without a name are named for their length."""
    variables = {}
    for name, array in group.arrays():
        attributes = dict(array.attrs)
        names = array.metadata.dimension_names if array.metadata.zarr_format == 3 else None
        names = names or attributes.pop("_ARRAY_DIMENSIONS", None) or [None] * array.ndim
        dims: list[str] = []
        for axis, (given, size) in enumerate(zip(names, array.shape, strict=True)):
            dim = given or f"phony_dim_{size}"
            dims.append(f"{dim}_{axis}" if dim in dims else dim)
        if array.metadata.zarr_format == 2 and array.fill_value is not None:
            attributes.setdefault("_FillValue", array.fill_value)
        variables[name] = lazy_variable(
            tuple(dims), array.shape, array.dtype, array.__getitem__, attributes
        )
    return xr.Dataset(variables, attrs=dict(group.attrs))


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    zipped = detect_format(content) == "zarr-zip"
    parser = (ZippedZarrParser if zipped else ZarrParser)(
        group=group or None, skip_variables=drop or None
    )
    return parser(url=url, registry=registry)._group


def _is_array(item: Any) -> bool:
    return isinstance(item, zarr.Array)


def _store(content: Content) -> tuple[Any, str]:
    """The store, and the path of the root group in it."""
    if detect_format(content) == "zarr-zip":
        if isinstance(content.handle, Path):
            return zarr.storage.ZipStore(content.handle, mode="r"), ""
        make = default_buffer_prototype().buffer.from_bytes
        with zipfile.ZipFile(io.BytesIO(content.read())) as archive:
            members = {name: make(archive.read(name)) for name in archive.namelist()}
        return zarr.storage.MemoryStore(members, read_only=True), ""
    if isinstance(content.handle, Path):
        return zarr.storage.LocalStore(content.handle, read_only=True), ""
    return zarr.storage.ObjectStore(content.handle.store, read_only=True), content.handle.path
