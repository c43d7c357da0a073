"""When two values, arrays or attributes are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from vzarr.virtualize.attributes import as_json_value


def same(left: Any, right: Any) -> bool:
    """Equal, numbers and arrays whatever their type; NaN equals NaN.

    A number that JSON does not know, as NaN, is stored as text, and equals that.
    """
    if left is None or right is None:
        return left is right
    first, second = np.asarray(left), np.asarray(right)
    if first.dtype.kind in "fc" and second.dtype.kind in "fc":
        return bool(np.array_equal(first, second, equal_nan=True))
    if ("U" in (first.dtype.kind, second.dtype.kind)) and first.dtype.kind != second.dtype.kind:
        return str(as_json_value(left)) == str(as_json_value(right))
    return bool(np.array_equal(first, second))


def tolerance(variable: xr.DataArray | xr.Variable) -> float | None:
    """What readers of a variable round beside its values, or None where they must agree exactly.

    Of packed values that is their offset; infinity stands for the largest of computed ones. HDF5
    readers unpack float32 scale factors in float32, Zarr readers in float64, because JSON
    attributes carry no width.
    """
    if "computed" in variable.encoding:
        return np.inf
    if {"scale_factor", "add_offset"} & variable.encoding.keys():
        return float(np.abs(np.asarray(variable.encoding.get("add_offset", 0.0))).max())
    return None


def mismatch(left: np.ndarray, right: np.ndarray, rounded: float | None) -> np.ndarray:
    """Where two arrays of one shape differ, as booleans. ``rounded`` as from ``tolerance``."""
    if left.dtype.kind in "fc" and right.dtype.kind in "fc":
        same = (left == right) | (np.isnan(left) & np.isnan(right))
        if rounded is not None:
            if np.isinf(rounded):
                rounded = np.nanmax(np.abs(right), initial=0.0, where=np.isfinite(right))
            # A value near zero has lost its digits in the sum with the offset.
            with np.errstate(invalid="ignore"):
                same |= np.abs(left - right) <= 1e-6 * (np.abs(right) + rounded)
        return ~same
    if left.dtype.kind in "mM" and right.dtype.kind in "mM":
        return ~((left == right) | (np.isnat(left) & np.isnat(right)))
    if left.dtype.names or right.dtype.names:
        return np.array(
            [a.tolist() != b.tolist() for a, b in zip(left.flat, right.flat, strict=True)]
        )
    if "O" in (left.dtype.kind, right.dtype.kind) or left.dtype.kind in "SUT":
        pairs = zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
        return np.array([_text(a) != _text(b) for a, b in pairs], dtype=bool)
    return np.asarray(left != right)


def _text(value: object) -> object:
    # Zarr pads text with NUL, Kerchunk writes spaces where nothing is; readers differ in bytes or
    # text. Spaces behind a text are its own.
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        return value
    return value.rstrip("\x00") if value.strip("\x00 ") else ""
