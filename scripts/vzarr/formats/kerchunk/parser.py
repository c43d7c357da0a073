"""Kerchunk references in JSON and Parquet, compared with the bytes that they lead to.

Kerchunk keeps a source's ``_FillValue`` as the arrays' fill value only, where it cannot be told
from the zero that HDF5 gives to arrays without one: the source file itself is asked.
"""

from __future__ import annotations

from typing import Any

import xarray as xr
import zarr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestArray, ManifestGroup

from vzarr.formats.checks import check_arrays
from vzarr.formats.kerchunk.fill_values import StoredValues, declares_fill
from vzarr.formats.kerchunk.load import (
    arrays_in,
    is_array,
    last_part,
    load_references,
    references_by_array,
)
from vzarr.sources.content import Content
from vzarr.upstream.virtualizarr import KerchunkStoreRefs, manifestgroup_from_kerchunk_refs


def list_groups(content: Content) -> list[str]:
    names = (".zarray", "zarr.json")
    arrays = [key.rpartition("/")[0] for key in load_references(content) if last_part(key) in names]
    arrays = [path for path in arrays if path and is_array(content, path)]
    return sorted({"", *(path.rpartition("/")[0] for path in arrays)})


def open_raw(content: Content, group: str, drop: list[str]) -> xr.Dataset:
    check_arrays(content, group, arrays_in(content, group), drop)
    store = zarr.storage.MemoryStore(StoredValues(content), read_only=True)
    raw = xr.open_zarr(
        store,
        group=group or None,
        consolidated=False,
        chunks=None,
        decode_cf=False,
        drop_variables=drop,
    )
    for name, variable in raw.variables.items():
        fill = variable.attrs.get("_FillValue")
        if fill is not None and not declares_fill(content, group, str(name), fill):
            del variable.attrs["_FillValue"]
    return raw


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    arrays: dict[str, ManifestArray] = {}
    for path, own in references_by_array(content).items():
        parent, _, name = path.rpartition("/")
        if parent == group and name not in drop:
            # The parser goes through all references for each array.
            parsed = _translate({**_of_groups(content), **own}, group)
            arrays |= {key: array for key, array in parsed.arrays.items() if key == name}
    metadata = _translate(_of_groups(content), group).metadata
    return ManifestGroup(arrays=arrays, attributes=dict(metadata.attributes))


def _translate(references: dict[str, Any], group: str) -> ManifestGroup:
    whole = KerchunkStoreRefs({"version": 1, "refs": references})
    return manifestgroup_from_kerchunk_refs(whole, group=group or None)


def _of_groups(content: Content) -> dict[str, Any]:
    """The metadata of all groups."""
    return content.cache["of groups"]
