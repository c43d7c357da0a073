"""Kerchunk references in JSON and Parquet, compared with the bytes that they lead to.

Kerchunk keeps a source's ``_FillValue`` as the arrays' fill value only, where it cannot be told
from the zero that HDF5 gives to arrays without one: the source file itself is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xarray as xr
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestArray, ManifestGroup

from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.formats.kerchunk.fill_values import StoredValues, declares_fill
from vzarr.formats.kerchunk.load import (
    arrays_in,
    divide_references,
    is_array,
    last_part,
    load_references,
)
from vzarr.sources.content import Content
from vzarr.upstream.virtualizarr import KerchunkStoreRefs, manifestgroup_from_kerchunk_refs


def list_groups(content: Content) -> list[str]:
    """The root, and the groups that hold arrays.

    Raises
    ------
    InputError
        For references that are damaged, or that lead where nothing may be read.
    """
    names = (".zarray", "zarr.json")
    arrays = [key.rpartition("/")[0] for key in load_references(content) if last_part(key) in names]
    arrays = [path for path in arrays if path and is_array(content, path)]
    return sorted({"", *(path.rpartition("/")[0] for path in arrays)})


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """By zarr, of the bytes that the references lead to."""
    check_arrays(content, group, arrays_in(content, group), drop)
    store = zarr.storage.MemoryStore(StoredValues(content), read_only=True)
    raw = xr.open_zarr(
        store,
        group=group or None,
        consolidated=False,
        chunks=None,
        decode_cf=False,
        drop_variables=list(drop),
    )
    for name, variable in raw.variables.items():
        fill = variable.attrs.get("_FillValue")
        if fill is not None and not declares_fill(content, group, str(name), fill):
            del variable.attrs["_FillValue"]
    return decode(raw, drop, decode_times)


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """As VirtualiZarr translates them, array by array."""
    arrays: dict[str, ManifestArray] = {}
    divided = divide_references(content)
    for path, own in divided.by_array.items():
        parent, _, name = path.rpartition("/")
        if parent == group and name not in drop:
            # The parser goes through all references for each array.
            parsed = _translate({**divided.of_groups, **own}, group)
            arrays |= {key: array for key, array in parsed.arrays.items() if key == name}
    metadata = _translate(divided.of_groups, group).metadata
    return ManifestGroup(arrays=arrays, attributes=dict(metadata.attributes))


def _translate(references: dict[str, Any], group: str) -> ManifestGroup:
    whole = KerchunkStoreRefs({"version": 1, "refs": references})
    return manifestgroup_from_kerchunk_refs(whole, group=group or None)
