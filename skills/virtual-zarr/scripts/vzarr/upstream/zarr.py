"""What zarr 3.4 keeps in ``zarr.core``, or whose types say less than its users know.

``Group.__getitem__`` returns an array or a group; metadata of Zarr 2 have no names of dimensions.

Remove when: the names are in ``zarr.abc``, ``zarr.metadata`` or ``zarr.api``. Look for "public API
zarr.core" at https://github.com/zarr-developers/zarr-python/issues.
"""

from __future__ import annotations

import zarr
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.common import JSON
from zarr.core.dtype import get_data_type_from_native_dtype
from zarr.core.metadata import ArrayV2Metadata, ArrayV3Metadata
from zarr.core.metadata.v3 import RectilinearChunkGridMetadata, RegularChunkGridMetadata
from zarr.core.sync import sync

__all__ = [
    "JSON",
    "ArrayV2Metadata",
    "ArrayV3Metadata",
    "RectilinearChunkGridMetadata",
    "RegularChunkGridMetadata",
    "array_at",
    "cpu",
    "default_buffer_prototype",
    "dimension_names",
    "get_data_type_from_native_dtype",
    "sync",
]


def array_at(group: zarr.Group, path: str) -> zarr.Array:
    """The array at a path below a group.

    Raises
    ------
    KeyError
        If nothing is there.
    TypeError
        If a group is there.
    """
    item = group[path]
    if not isinstance(item, zarr.Array):
        raise TypeError(f"{path} is a group, not an array")
    return item


def dimension_names(array: zarr.Array) -> tuple[str | None, ...]:
    """The names of an array's dimensions; empty where its metadata do not say them."""
    return getattr(array.metadata, "dimension_names", None) or ()
