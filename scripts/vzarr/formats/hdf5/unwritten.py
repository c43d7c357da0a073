"""HDF5 datasets that were declared and never written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from vzarr.formats.hdf5 import reader
from vzarr.formats.hdf5.hazards import hdf5_hazard
from vzarr.limits import box_shape
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import followed

UNWRITTEN_FROM = 1_000_000
"""Elements from which a dataset that was never written is not given to the parser."""


EMPTY_CHUNK = 4 * 1024**2
"""Elements in a chunk of an array that was never written, whose source has no chunks of its own."""


@dataclass(frozen=True)
class Unwritten:
    """A large dataset of which nothing was ever written."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fill: Any
    attributes: dict[str, Any]
    is_index: bool


def hdf5_unwritten(content: Content, group: str = "") -> dict[str, Unwritten]:
    """Datasets of one group with more than ``UNWRITTEN_FROM`` elements and no storage at all."""
    return dict(content.once(_find_unwritten, group))


def _find_unwritten(content: Content, group: str) -> dict[str, Unwritten]:
    unwritten: dict[str, Unwritten] = {}
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        for name in followed(h5group, group, content):
            if reader.kind_of(h5group, name) is not h5py.Dataset:
                continue
            dataset = h5group[name]
            small = dataset.shape is None or dataset.size <= UNWRITTEN_FROM
            if small or reader.foreign(dataset):
                continue
            placeholder = reader.is_placeholder(dataset)
            is_number = dataset.dtype.kind in "iuf"
            if (
                placeholder
                or not is_number
                or hdf5_hazard(dataset)
                or dataset.id.get_storage_size()
            ):
                continue
            attributes = {
                key: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
                for key, value in dataset.attrs.items()
                if isinstance(value, str | np.number)
                or (isinstance(value, np.ndarray) and value.dtype.kind in "iuf")
            }
            attributes = {key: _only(value) for key, value in attributes.items()}
            attributes.pop("_Netcdf4Dimid", None)
            attributes.pop("_Netcdf4Coordinates", None)
            attributes.pop("_FillValue", None)  # comes back with the mask
            fill = dataset.fillvalue.item()
            is_index = dataset.ndim == 1 and dataset.is_scale
            dtype = dataset.dtype.newbyteorder("=")
            unwritten[name] = Unwritten(dataset.shape, dtype, fill, attributes, is_index)
    return unwritten


def empty_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Chunks of an array that was never written, whose source may have none of its own."""
    return box_shape(shape, 1, EMPTY_CHUNK)


def _only(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value
