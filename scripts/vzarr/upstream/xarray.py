"""What xarray 2026.9 has no public name for: a variable's data as they are, without loading them.

``Variable.data`` makes an array of what is read when it is looked at. ``xarray.core.indexing`` is
what its documentation names for backends, and no public module. ``FillValueCoder`` reads the
``_FillValue`` that xarray writes into Zarr.

Remove when: xarray shows lazy arrays and their indexing publicly:
https://github.com/pydata/xarray/issues/5081.
"""

from __future__ import annotations

from typing import Any

import xarray as xr
from xarray.backends.zarr import FillValueCoder
from xarray.core import indexing

__all__ = ["FillValueCoder", "html_view", "indexing", "unread_data"]


def unread_data(variable: xr.Variable) -> Any:
    """What a variable wraps, of whatever class it is."""
    return variable._data


def html_view(dataset: xr.Dataset) -> str:
    """A dataset as notebooks show it; xarray has escaped what it shows."""
    return dataset._repr_html_()
