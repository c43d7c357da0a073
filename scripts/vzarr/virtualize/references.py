"""The parser's references of one group, with the native reader's dimensions and mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import obstore
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import MemoryStore
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup
from zarr.buffer import default_buffer_prototype

from vzarr.errors import EnvironmentFault, Refused, first_line, raise_fault
from vzarr.formats.decoding import PACKING
from vzarr.formats.hdf5.unwritten import Unwritten, empty_chunk
from vzarr.formats.reasons import PLACEHOLDER, Code, Reason
from vzarr.formats.registry import FORMATS, load_format
from vzarr.sources.content import Content
from vzarr.sources.remote_file import FileStore, RemoteFile
from vzarr.sources.schemes import object_store, root_of
from vzarr.upstream.virtualizarr import (
    copy_and_replace_metadata,
    create_v3_array_metadata,
    encode_cf_fill_value,
)
from vzarr.virtualize.attributes import as_python, complete, without_padding
from vzarr.virtualize.model import CF_ENCODING


def make_registry(content: Content, file_format: str) -> ObjectStoreRegistry:
    """The stores of a file, and of all that it refers to, for a parser."""
    roots = [root_of(url) for url in content.findings.referred]
    stores = {root: object_store(root + "/", content.access)[0] for root in roots}
    store, path = object_store(content.url, content.access)
    if isinstance(content.handle, bytes) and not FORMATS[file_format].references:
        # The parser reads the bytes that were fetched; its references still name the source.
        store = MemoryStore()
        obstore.put(store, path, content.handle)
    elif isinstance(content.handle, RemoteFile) and file_format == "hdf5":
        store = FileStore(content.handle)
    return ObjectStoreRegistry({**stores, root_of(content.url): store})


def fits(value: Any, dtype: Any) -> bool:
    """Whether a stored number can have this value; one that none can have masks nothing."""
    kind = np.dtype(dtype)
    if kind.kind not in "iuf":
        return True
    try:
        if kind.kind == "f":
            return np.asarray(value, float).size > 0
        numbers = [int(number) for number in np.ravel(value).tolist()]
    except (TypeError, ValueError, OverflowError):  # text, NaN or infinity
        return False
    info = np.iinfo(kind)
    return all(info.min <= number <= info.max for number in numbers)


def parse_references(
    registry: ObjectStoreRegistry,
    content: Content,
    file_format: str,
    group: str,
    native: xr.Dataset,
    drop: list[str],
) -> tuple[ManifestGroup, dict[str, Reason]]:
    """The parser's references, without the variables that it cannot parse, and why it cannot.

    Raises
    ------
    Refused
        If more is declared than is allowed.
    EnvironmentFault
        If parsing fails for a reason that does not lie in the file.

    Returns
    -------
    group : ManifestGroup
        Empty if the parser cannot take the file as a whole.
    failures : dict of str to Reason
        By the name of a variable.
    """
    module = load_format(file_format)

    def parse(unwanted: list[str]) -> ManifestGroup:
        return module.manifest_group(content.url, registry, content, group, unwanted)

    def find_failures(suspects: list[str], error: Exception) -> dict[str, Reason]:
        if len(suspects) == 1:
            return {suspects[0]: _not_parsed(f"the parser fails on it: {first_line(error)}")}
        failing: dict[str, Reason] = {}
        half = len(suspects) // 2
        for part in (suspects[:half], suspects[half:]):
            try:
                parse([*drop, *(name for name in names if name not in part)])
            except Exception as problem:
                raise_fault(content.url, problem)
                failing |= find_failures(part, problem)
        return failing

    try:
        return parse(drop), {}
    except Refused:  # what is declared too large
        raise
    except Exception as error:
        raise_fault(content.url, error)
        names = [str(name) for name in native.variables if name not in drop]
        first = error
    try:
        parse([*drop, *names])  # what fails without any variable fails with each
        failures = find_failures(names, first)
        return parse([*drop, *failures]), failures
    except EnvironmentFault:
        raise
    except Exception as error:
        raise_fault(content.url, error)
        # The file as a whole defeats the parser: everything is copied, or refused as too large.
        reason = _not_parsed(f"the parser fails: {first_line(first)}")
        return ManifestGroup(), dict.fromkeys(names, reason)


def _not_parsed(text: str) -> Reason:
    return Reason(Code.NOT_PARSED, text)


def array_without_references(dataset: Unwritten) -> ManifestArray:
    """An array without a single reference. The parser makes room for one for each element."""
    chunks = empty_chunk(dataset.shape)
    metadata = create_v3_array_metadata(
        shape=dataset.shape,
        data_type=dataset.dtype,
        chunk_shape=chunks,
        fill_value=dataset.fill,
        codecs=[],
        dimension_names=None,
        attributes=dataset.attributes,
    )
    grid = tuple(-(-size // chunk) for size, chunk in zip(dataset.shape, chunks, strict=True))
    return ManifestArray(metadata, ChunkManifest({}, shape=grid))


def match_arrays(
    arrays: dict[str, ManifestArray], native: xr.Dataset, copied: dict[str, Reason]
) -> tuple[dict[str, xr.Variable], dict[str, Reason]]:
    """The parsed arrays that the native reader knows too, with its dimensions and its mask.

    Returns them, and why others are left out; adds to ``copied`` those that have to be copied.

    Returns
    -------
    variables : dict of str to xarray.Variable
    dropped : dict of str to Reason
    """
    variables: dict[str, xr.Variable] = {}
    dropped: dict[str, Reason] = {}
    for name, array in arrays.items():
        name = name if name in native.variables else without_padding(name)
        if name not in native.variables:
            dropped[name] = PLACEHOLDER
            continue
        truth = native.variables[name]
        if array.shape != truth.shape:
            copied[name] = _not_parsed("the parser returns another shape")
            continue
        metadata = copy_and_replace_metadata(
            array.metadata, new_dimension_names=None, new_attributes={}
        )
        try:
            metadata.to_buffer_dict(default_buffer_prototype())
        except (TypeError, ValueError) as error:
            copied[name] = _not_parsed(f"Zarr cannot describe it: {first_line(error)}")
            continue
        coded = {key: truth.encoding.get(key) for key in CF_ENCODING if key != "_FillValue"}
        coded = {key: value for key, value in coded.items() if value is not None}
        attributes = {**coded, **complete(dict(array.metadata.attributes), truth.attrs)}
        attributes = {
            key: value if key == "_FillValue" else as_python(value)
            for key, value in attributes.items()
        }
        for key in PACKING:  # given as text: the number that it means, or nothing
            if isinstance(attributes.get(key), str):
                attributes.pop(key)
                attributes |= {key: coded[key]} if key in coded else {}
        if isinstance(attributes.get("coordinates"), list):  # which xarray cannot split
            attributes["coordinates"] = " ".join(map(str, attributes["coordinates"]))
        fill = attributes.get("_FillValue", truth.encoding.get("_FillValue"))
        if array.dtype.kind not in "iuf":
            attributes.pop("_FillValue", None)  # which xarray cannot read back
        elif fill is not None and not isinstance(fill, str):
            # Kerchunk and Zarr 2 keep it as the array's fill value only, and xarray then masks
            # none; or as a number, which xarray cannot read from a float array of Zarr 3.
            if np.size(fill) != 1:
                copied[name] = _not_parsed("its _FillValue has several values")
                continue
            if fits(fill, array.dtype):
                fill = np.asarray(fill).astype(array.dtype)
                attributes["_FillValue"] = encode_cf_fill_value(fill, array.dtype)
            else:
                attributes.pop("_FillValue", None)
        variables[name] = xr.Variable(
            truth.dims, ManifestArray(metadata, array.manifest), attributes
        )
    return variables, dropped
