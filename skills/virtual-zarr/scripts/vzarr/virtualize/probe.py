"""Whether references read as the native reader reads."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.exceptions import BaseError
from virtualizarr.manifests import ManifestArray, ManifestGroup

from vzarr.errors import InputError, first_line, is_failure, raise_fault
from vzarr.limits import box_shape
from vzarr.upstream.decoders import TooLong
from vzarr.upstream.virtualizarr import NamedStore, copy_and_replace_metadata
from vzarr.virtualize.equality import mismatch, tolerance

PROBE_LIMIT, PROBE_CHUNKS = 4 * 1024**2, 1000
"""Bytes and chunks up to which a variable is compared whole with the native reader, else in part.
"""


def open_references(variables: dict[str, xr.Variable], registry: ObjectStoreRegistry) -> xr.Dataset:
    """What reads through references, to be compared with the native reader."""
    arrays = {}
    for name, variable in variables.items():
        metadata = copy_and_replace_metadata(
            variable.data.metadata,
            new_dimension_names=[str(dim) for dim in variable.dims],
            new_attributes={k: v for k, v in variable.attrs.items() if _is_json(v)},
        )
        arrays[name] = ManifestArray(metadata, variable.data.manifest)
    store = NamedStore(ManifestGroup(arrays), registry=registry)
    return xr.open_zarr(
        store,
        consolidated=False,
        zarr_format=3,
        decode_times=False,
        chunks=None,
        create_default_indexes=False,
    )


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def misread(probe: xr.Dataset, native: xr.Dataset, name: str, url: str) -> str:
    """Why a variable's references cannot stand for it, or an empty string if they read right.

    Raises
    ------
    EnvironmentFault
        If reading fails for a reason that lies neither in the references nor in the file.
    """
    if name not in probe.variables:
        return "xarray does not find it behind its references"
    reference, truth = probe.variables[name], native.variables[name]
    parts = _probe_parts(truth, reference.encoding.get("chunks"))
    rounded = tolerance(truth)
    for part in parts:
        try:
            left = reference.isel(part).values
        except TooLong as error:  # which its native reader would unpack, too
            raise InputError(f"{url}: {name}: {error}.") from error
        except BaseException as error:
            if not is_failure(error):
                raise
            raise_fault(url, error)
            what = "lead to no bytes" if isinstance(error, BaseError) else "cannot be decoded"
            return f"its references {what}: {first_line(error)}"
        try:
            right = truth.isel(part).values
        except Exception as error:
            raise_fault(url, error)
            return f"its native reader fails: {first_line(error)}"
        if right.dtype.kind in "mM" or (right.dtype == object and left.dtype.kind in "iuf"):
            continue  # a virtual time: decoding is compared when the store is read back
        if left.shape != right.shape:
            return f"its references read as shape {left.shape}, the file as {right.shape}"
        differ = np.atleast_1d(mismatch(left, right, rounded))
        if differ.any():
            at = tuple(np.argwhere(differ)[0][: right.ndim])
            return (
                f"its references read differently from the file: {left[at]} instead of "
                f"{right[at]} at {[int(n) for n in at]}"
            )
    return ""


def _probe_parts(truth: xr.Variable, chunks: tuple[int, ...] | None) -> list[dict[str, slice]]:
    """The whole, or both ends of what is large or in many chunks, each of which takes its time."""
    if truth.ndim == 0 or not truth.size:
        return [{}]
    itemsize = truth.dtype.itemsize
    step = box_shape(truth.shape, itemsize, PROBE_LIMIT)
    if chunks is not None:  # a part of each chunk is enough, but of few of them
        few = box_shape(truth.shape, 0, 1, chunks, PROBE_CHUNKS)
        step = tuple(map(min, step, few))
    sizes = zip(truth.dims, truth.shape, step, strict=True)
    divided = [(str(dim), size, width) for dim, size, width in sizes if width < size]
    if not divided:
        return [{}]
    first = {dim: slice(0, width) for dim, size, width in divided}
    return [first, {dim: slice(size - width, size) for dim, size, width in divided}]
