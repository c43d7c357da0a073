"""Attributes in the form in which they are stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
import xarray as xr

from vzarr.limits import check_number, limit


def complete(attributes: dict[str, Any], known: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as the parser gives them, with those of the native reader that it lost."""
    attributes = {without_padding(key): value for key, value in attributes.items()}
    for key, value in known.items():
        if str(as_python(attributes.get(key))) != str(as_python(value)):
            attributes[str(key)] = value
    return {key: value for key, value in attributes.items() if not is_reference(value)}


def is_reference(value: Any) -> bool:
    """HDF5 references, of which nothing outside of their file can make use."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and any(map(is_reference, value.flat))
    if isinstance(value, list | tuple):
        return any(map(is_reference, value))
    return isinstance(value, h5py.Reference | h5py.RegionReference)


def without_padding(name: Any) -> str:
    """A name without the NULs that some NetCDF3 writers pad it with."""
    return str(name).rstrip("\x00")


def clean_attributes(dataset: xr.Dataset) -> list[str]:
    """Make every attribute fit for JSON, which knows no NaN, infinity or complex numbers.

    Returns a note for each attribute changed. Icechunk refuses the metadata otherwise.
    """
    notes = []
    owners: list[tuple[str, dict]] = [("the dataset", dataset.attrs)]
    owners += [(str(name), variable.attrs) for name, variable in dataset.variables.items()]
    for owner, attributes in owners:
        for key, value in list(attributes.items()):
            if key == "_FillValue":
                continue  # VirtualiZarr encodes it
            clean = as_json_value(value)
            attributes[key] = clean
            if isinstance(clean, str) and not isinstance(as_python(value), str):
                notes.append(f"attribute {key} of {owner} stored as text: {clean!r}")
    return notes


def check_nesting(url: str, dataset: xr.Dataset) -> None:
    """Attributes of JSON may nest deeper than what writes and compares them can follow.

    Raises
    ------
    InputError
        With what allows them.
    """
    owners = [dataset.attrs, *(variable.attrs for variable in dataset.variables.values())]
    for attributes in owners:
        for key, value in attributes.items():
            level, inner = 0, [value]
            while inner and level <= limit("depth"):
                inner = [
                    item
                    for part in inner
                    if isinstance(part, list | tuple | dict)
                    for item in (part.values() if isinstance(part, dict) else part)
                ]
                level += 1
            check_number(url, "depth", level, f"lists within each other in the attribute {key}:")


def as_python(value: Any) -> Any:
    """Of Python's own types; text where HDF5 has fixed strings."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [as_python(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def as_json_value(value: Any) -> Any:
    """The form in which an attribute is stored."""
    value = as_python(value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
