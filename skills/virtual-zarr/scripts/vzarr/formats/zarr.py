"""Zarr of both formats, in folders and in zip files, read by zarr itself."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import ZarrParser, ZippedZarrParser
from zarr.buffer import default_buffer_prototype
from zarr.codecs import BytesCodec, ShardingCodec
from zarr.errors import ContainsArrayError

from vzarr.errors import InputError
from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.formats.detect import detect_format
from vzarr.limits import Declared
from vzarr.sources.content import Content, RemoteFolder
from vzarr.upstream.virtualizarr import group_of
from vzarr.upstream.zarr import ArrayV2Metadata, ArrayV3Metadata, dimension_names, sync


def list_groups(content: Content) -> list[str]:
    """The root, and the groups that hold arrays.

    Raises
    ------
    InputError
        For a single array, and for metadata that cannot be read.
    """
    paths = [array.path for array in content.once(_declared_arrays)]
    return sorted({"", *(path.rpartition("/")[0] for path in paths)})


def _declared_arrays(content: Content) -> list[Declared]:
    """What is declared of all arrays of a store."""
    store, root = _store(content)
    try:
        group = zarr.open_group(store, path=root, mode="r")
    except ContainsArrayError:
        raise InputError(
            f"{content.url}: a single Zarr array without a group: name the folder above it, if "
            "that is a group, or put the array into one."
        ) from None
    try:
        members = dict(group.members(None))
    except ValueError as error:
        raise InputError(
            f"{content.url}: {_unreadable(group)} cannot be opened ({error}): take it out of the "
            "store, or write it again."
        ) from error
    _check_members(content, group, members)
    arrays = {name: item for name, item in members.items() if isinstance(item, zarr.Array)}
    return [declared(name, array.metadata, array.attrs.asdict()) for name, array in arrays.items()]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """By zarr; dimensions without a name are named for their length."""
    store, root = _store(content)
    path = "/".join(part for part in (root, group) if part)
    check_arrays(content, group, _arrays_in(content, group), drop)
    try:
        raw = xr.open_zarr(
            store,
            group=path or None,
            consolidated=False,
            chunks=None,
            decode_cf=False,
            drop_variables=list(drop),
        )
    except (KeyError, ValueError):  # dimensions without names
        raw = _unnamed(zarr.open_group(store, path=path, mode="r"), drop)
    return decode(raw, drop, decode_times)


def declared(
    path: str, metadata: ArrayV2Metadata | ArrayV3Metadata, attributes: Mapping[str, Any]
) -> Declared:
    """What the metadata of an array say, in either format."""
    itemsize = metadata.dtype.to_native_dtype().itemsize
    dims = attributes.get("_ARRAY_DIMENSIONS")
    if isinstance(metadata, ArrayV2Metadata):
        chunk: tuple[int, ...] | None = metadata.chunks
        inner = chunk
        is_packed = metadata.compressor is not None or bool(metadata.filters)
    else:
        chunk = getattr(metadata.chunk_grid, "chunk_shape", None)  # none where chunks differ
        sharded = [codec for codec in metadata.codecs if isinstance(codec, ShardingCodec)]
        inner = sharded[0].chunk_shape if sharded else chunk
        is_packed = not all(isinstance(codec, BytesCodec) for codec in metadata.codecs)
        dims = metadata.dimension_names or dims
    return Declared(
        path,
        metadata.shape,
        itemsize,
        chunk,
        unpacked=math.prod(inner or ()) * itemsize * is_packed,
        is_loaded=isinstance(dims, list | tuple) and [*dims] == [path.rpartition("/")[2]],
    )


def _arrays_in(content: Content, group: str) -> list[Declared]:
    """What is declared of the arrays of one group."""
    arrays = content.once(_declared_arrays)
    return [array for array in arrays if array.path.rpartition("/")[0] == group]


def _unreadable(root: zarr.Group) -> str:
    for name in _listed(root):
        try:
            item = root[name]
            if isinstance(item, zarr.Group):
                dict(item.members(None))
        except (KeyError, ValueError) as error:
            if isinstance(error, ValueError):
                return name
    return "one of its arrays"


def _check_members(content: Content, root: zarr.Group, members: dict[str, Any]) -> None:
    """zarr passes over an array or a group whose metadata it cannot read.

    Raises
    ------
    InputError
        If there is one.
    """
    groups = {"": root, **{name: item for name, item in members.items() if not _is_array(item)}}
    for path, group in groups.items():
        for name in _listed(group):
            known = f"{path}/{name}".lstrip("/")
            if known in members:
                continue
            place = f"{group.path}/{name}".lstrip("/")
            for metadata in ("zarr.json", ".zarray", ".zgroup"):
                if sync((group.store_path.store).exists(f"{place}/{metadata}")):
                    raise InputError(
                        f"{content.url}: the metadata of {known} ({metadata}) cannot be read: "
                        "fetch the store again, or correct them."
                    )


def _listed(group: zarr.Group) -> list[str]:
    async def names() -> list[str]:
        listed = group.store_path.store.list_dir(group.path)
        return [name.rstrip("/") async for name in listed if not name.startswith(".")]

    return [name for name in sync(names()) if name != "zarr.json"]


def _unnamed(group: zarr.Group, drop: Sequence[str]) -> xr.Dataset:
    """Dimensions without a name are named for their length."""
    variables = {}
    for name, array in group.arrays():
        if name in drop:
            continue
        attributes = dict(array.attrs)
        given: Any = attributes.pop("_ARRAY_DIMENSIONS", None)
        names = dimension_names(array) or given or [None] * array.ndim
        dims: list[str] = []
        for axis, (known, size) in enumerate(zip(names, array.shape, strict=True)):
            dim = known or f"phony_dim_{size}"
            dims.append(f"{dim}_{axis}" if dim in dims else dim)
        if array.metadata.zarr_format == 2 and array.fill_value is not None:
            attributes.setdefault("_FillValue", array.fill_value)
        variables[name] = lazy_variable(
            tuple(dims), array.shape, array.dtype, array.__getitem__, attributes
        )
    return xr.Dataset(variables, attrs=dict(group.attrs))


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """As VirtualiZarr's parsers make it, of folders or of zip files."""
    zipped = detect_format(content) == "zarr-zip"
    own = {array.path.rpartition("/")[2] for array in _arrays_in(content, group)}
    # The parser makes manifests of all groups below, and leaves out names in each of them alike.
    prefix = f"{group}/" if group else ""
    below = [
        array
        for array in content.once(_declared_arrays)
        if array.path.startswith(prefix) and "/" in array.path.removeprefix(prefix)
    ]
    names = {array.path.rpartition("/")[2] for array in below} - own
    same_named = [array for array in below if array.path.rpartition("/")[2] in own - {*drop}]
    check_arrays(content, group, same_named)
    parser = (ZippedZarrParser if zipped else ZarrParser)(
        group=group or None, skip_variables=[*drop, *names]
    )
    return group_of(parser(url=url, registry=registry))


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
    folder = content.handle
    assert isinstance(folder, RemoteFolder), "what is no file"
    return zarr.storage.ObjectStore(folder.store, read_only=True), folder.path
