"""Arrays of Zarr, whose types say less than their users know.

``Group.__getitem__`` returns an array or a group, and metadata of Zarr 2 have no names of
dimensions (zarr 3.4).
"""

from __future__ import annotations

import zarr


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
