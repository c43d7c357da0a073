"""Arrays that a native reader fills when they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray

from vzarr.upstream.xarray import indexing

Read = Callable[[tuple], Any]
"""Returns the values at a tuple of integers and slices."""


class _OnDemand(BackendArray):
    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, read: Read) -> None:
        self.shape, self.dtype, self._read = shape, np.dtype(dtype), read

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )


def lazy_variable(
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    dtype: np.dtype,
    read: Read,
    attributes: dict | None = None,
    encoding: dict | None = None,
) -> xr.Variable:
    """A variable whose values ``read`` returns for a tuple of integers and slices."""
    data = indexing.LazilyIndexedArray(_OnDemand(shape, dtype, read))
    return xr.Variable(dims, data, attributes, encoding)
