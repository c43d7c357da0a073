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

from vzarr.native import Content, detect_format


def list_groups(content: Content) -> list[str]:
    store, root = _store(content)
    group = zarr.open_group(store, path=root, mode="r")
    held = {name.rpartition("/")[0] for name, item in group.members(None) if _is_array(item)}
    return sorted({"", *held})


def open_raw(content: Content, group: str) -> xr.Dataset:
    store, root = _store(content)
    path = "/".join(part for part in (root, group) if part)
    return xr.open_zarr(store, group=path or None, consolidated=False, chunks=None, decode_cf=False)


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
