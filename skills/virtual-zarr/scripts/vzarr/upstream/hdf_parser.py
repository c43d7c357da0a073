"""The names of dimensions in VirtualiZarr's HDF5 parser, which has the file searched for each.

Remove when: VirtualiZarr's ``_dataset_dims`` remembers the names of the scales that it has met. No
issue was found for 2.8; look for "HDFParser slow with many variables" at
https://github.com/zarr-developers/VirtualiZarr/issues.
"""

from __future__ import annotations

import h5py
import virtualizarr.parsers.hdf.hdf as parser

from vzarr.upstream.hdf5_names import name_once

_look_for_scales = parser._dataset_dims


def patch_hdf_parser() -> None:
    """Remember the names of dimension scales."""
    parser._dataset_dims = _scales_once


def _scales_once(dataset: h5py.Dataset, group: str = "/") -> list[str]:
    """As the original, for datasets with one scale on each dimension."""
    axes = [dataset.dims[axis] for axis in range(len(dataset.shape))]
    if any(len(axis) != 1 for axis in axes):
        return _look_for_scales(dataset, group)
    return [name_once(axis[0].id).removeprefix(group).removeprefix("/") for axis in axes]
