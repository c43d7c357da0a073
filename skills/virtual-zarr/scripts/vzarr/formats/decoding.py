"""CF decoding of what a reader returns as it is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import xarray as xr

PACKING = ("scale_factor", "add_offset")
"""Attributes that some writers (GrADS, COARDS) give as text, which xarray cannot multiply by."""


def open_decoded(open_dataset: Callable[..., xr.Dataset]) -> xr.Dataset:
    """A dataset that xarray opens, with packing given as text taken for the numbers that it means.

    ``open_dataset`` takes more options for xarray.
    """
    dataset = open_dataset()
    if not any(_texts(variable.encoding) for variable in dataset.variables.values()):
        return dataset
    dataset.close()
    stored = open_dataset(mask_and_scale=False)
    for variable in stored.variables.values():
        for key in _texts(variable.attrs):
            number = as_number(variable.attrs.pop(key))
            if number is not None:  # what is no number at all scales nothing
                variable.attrs[key] = number
    decoded = xr.decode_cf(stored, decode_times=False, decode_coords=False)
    decoded = decoded.set_coords(list(stored.coords))
    decoded.encoding = stored.encoding
    decoded.set_close(stored.close)
    return decoded


def as_number(value: Any) -> Any:
    """A number that is given as text; None for other text, and what is no text as it is."""
    if not isinstance(value, str | bytes):
        return value
    try:
        return float(value)
    except ValueError:
        return None


def _texts(attributes: dict[Any, Any]) -> list[str]:
    return [key for key in PACKING if isinstance(attributes.get(key), str | bytes)]


def decode(raw: xr.Dataset, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """A dataset of stored numbers as one of values, without the variables in ``drop``.

    Raises
    ------
    ValueError
        With "decode time" in its text, if the units of a time cannot be decoded.
    """
    return xr.decode_cf(raw, decode_times=decode_times, drop_variables=list(drop))
