"""What an HDF5 file says of the size of its arrays."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace

import h5py

from vzarr.formats.hdf5 import reader
from vzarr.formats.hdf5.unwritten import empty_chunk, hdf5_unwritten
from vzarr.limits import Declared, limit
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import followed


def hdf5_declared(content: Content, group: str) -> list[Declared]:
    """What an HDF5 file says of the datasets of one group, before any of them is read."""
    return content.once(_declared_in, group)


def _declared_in(content: Content, group: str) -> list[Declared]:
    unwritten = hdf5_unwritten(content, group)
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        # What is not followed has no shape here: HDF5 would look for it in other files.
        names = followed(h5group, group, content)
        datasets = {
            name: h5group[name] for name in names if reader.kind_of(h5group, name) is h5py.Dataset
        }
        lengths: dict[int, int] = {}
        return [
            _declared(f"{group}/{name}".lstrip("/"), dataset, name in unwritten, lengths)
            for name, dataset in datasets.items()
            if dataset.shape is not None and not reader.is_placeholder(dataset)
        ]


def _declared(
    path: str, dataset: h5py.Dataset, is_unwritten: bool, lengths: dict[int, int]
) -> Declared:
    shape = _padded_shape(dataset, lengths)
    itemsize = dataset.id.get_type().get_size()
    has_filters = dataset.id.get_create_plist().get_nfilters() > 0
    array = Declared(
        path,
        shape,
        itemsize,
        empty_chunk(shape) if is_unwritten else dataset.chunks,
        unpacked=math.prod(dataset.chunks or ()) * itemsize * has_filters,
        is_loaded=dataset.ndim == 1 and dataset.is_scale,
        is_written=not is_unwritten,
    )
    if is_unwritten or dataset.chunks is None or array.chunks <= limit("empty"):
        return array
    return replace(array, stored=dataset.id.get_num_chunks())  # which goes through the index


def _padded_shape(dataset: h5py.Dataset, lengths: dict[int, int]) -> tuple[int, ...]:
    """Readers of NetCDF show a dataset as long as its unlimited dimensions have become.

    ``lengths`` is of scales that were looked at before, by their place in the file.
    """
    if dataset.maxshape is None or None not in dataset.maxshape:
        return dataset.shape
    shape = list(dataset.shape)
    for axis, most in enumerate(dataset.maxshape):
        with suppress(AttributeError, KeyError, OSError, RuntimeError):  # a scale that is gone
            scale = dataset if dataset.ndim == 1 and dataset.is_scale else None
            if scale is None and most is None and len(dataset.dims[axis]):
                scale = dataset.dims[axis][0]
            if scale is None or scale.maxshape != (None,):
                continue
            place = h5py.h5o.get_info(scale.id).addr
            if place not in lengths:
                lengths[place] = reader.length_of_scale(scale)
            shape[axis] = max(shape[axis], lengths[place])
    return tuple(shape)
