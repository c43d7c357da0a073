"""Numbers of one file in the form in which other files store theirs, if nothing is lost by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from vzarr.errors import Refused
from vzarr.virtualize.equality import mismatch

PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")
"""What turns stored numbers into values."""


def packing_of(encoding: dict[str, Any]) -> dict[str, Any]:
    """The part of a CF encoding that turns stored numbers into values."""
    return {key: encoding[key] for key in PACKING if encoding.get(key) is not None}


@dataclass(frozen=True)
class Recode:
    """Turns stored numbers of a file into those of an array: ``own`` is the file's packing.

    ``packing`` and ``dtype`` are the array's. ``url`` and ``name`` are for the sentence.
    """

    url: str
    name: str
    own: dict[str, Any]
    packing: dict[str, Any]
    dtype: np.dtype

    def __call__(self, raw: np.ndarray) -> np.ndarray:
        """The same values as the array stores them.

        Raises
        ------
        Refused
            If they would read otherwise.
        """
        values = _decoded(raw, self.own)
        encoded = _encoded(values, self.packing, self.dtype)
        decoded = _decoded(encoded, _as_json(self.packing))
        offset = np.abs(np.asarray(self.own.get("add_offset", 0.0), float)).max()
        is_packed = bool({"scale_factor", "add_offset"} & self.own.keys())
        differ = np.atleast_1d(mismatch(decoded, values, float(offset) if is_packed else None))
        if differ.any():
            with np.errstate(invalid="ignore"):
                off = np.nanmax(np.abs(decoded.astype(float) - values.astype(float)))
            raise Refused(
                f"{self.url}: {self.name}: {int(differ.sum())} of {differ.size} values cannot be "
                f"kept as the other files store theirs ({self.dtype}, {_as_json(self.packing)}): "
                f"they would be off by up to {off:.3g}. Copy the values of all files with "
                "--irregular decode, or build such files into a store of their own."
            )
        return encoded


def value_dtype(dtype: np.dtype, packing: dict[str, Any]) -> np.dtype:
    """The type of values that are stored as ``dtype``."""
    return _decoded(np.zeros(1, dtype), packing).dtype


def reads_as(raw: np.ndarray, dtype: np.dtype, packing: dict[str, Any]) -> np.ndarray:
    """The values of stored numbers."""
    return _decoded(np.atleast_1d(raw).astype(dtype), packing)


def _as_json(packing: dict[str, Any]) -> dict[str, Any]:
    """As readers of a store find it: JSON keeps no width of a number."""
    return {key: np.asarray(value).ravel()[0].item() for key, value in packing.items()}


def _decoded(raw: np.ndarray, packing: dict[str, Any]) -> np.ndarray:
    dims = tuple(f"d{number}" for number in range(raw.ndim))
    variable = xr.Variable(dims, raw, packing)
    return xr.conventions.decode_cf_variable("raw", variable, decode_times=False).values


def _encoded(values: np.ndarray, packing: dict[str, Any], dtype: np.dtype) -> np.ndarray:
    encoding = _as_json(packing)
    if "_FillValue" in encoding:
        encoding.pop("missing_value", None)
    dims = tuple(f"d{number}" for number in range(values.ndim))
    variable = xr.Variable(dims, values, encoding={**encoding, "dtype": dtype})
    with np.errstate(invalid="ignore"):
        return xr.conventions.encode_cf_variable(variable).values.astype(dtype, copy=False)
