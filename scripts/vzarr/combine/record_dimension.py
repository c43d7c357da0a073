"""The dimension along which files are combined."""

from __future__ import annotations

from typing import Any

import xarray as xr

from vzarr.errors import InputError
from vzarr.text import option
from vzarr.virtualize.model import ParsedFile, is_virtual


def find_record_dimension(parsed: ParsedFile, advice: str = "Name one with --concat-dim.") -> str:
    """The dimension that files of this kind continue along.

    The unlimited dimension if there is one, else the dimension of a decoded time coordinate.
    ``advice`` is what to do where there is none.

    Raises
    ------
    InputError
        If there is none, or more than one.
    """
    variables = parsed.dataset.variables
    unlimited = [dim for dim in dict.fromkeys(parsed.unlimited) if dim in parsed.dataset.dims]
    times = [
        str(name)
        for name, variable in variables.items()
        if variable.dims == (name,) and is_time(variable)
    ]
    candidates = [dim for dim in unlimited if dim in times] or unlimited or times
    if len(candidates) == 1:
        return candidates[0]
    scalars = [str(n) for n, v in variables.items() if v.ndim == 0 and _names_time(parsed, n)]
    hint = (
        f"Perhaps {option('--concat-dim', scalars[0])}."
        if scalars
        else "Name one with --concat-dim."
        if candidates
        else advice
    )
    told = (
        f"more than one record dimension: {', '.join(candidates)}"
        if candidates
        else "no unlimited dimension and no time coordinate tells along what the files lie"
    )
    raise InputError(f"{parsed.source.url}: {told}. {hint}")


def has_no_records(parsed: ParsedFile, dimension: str | None) -> bool:
    """Whether a file has the record dimension, in any group, and nothing along it."""
    parts = [parsed, *parsed.children.values()]
    lengths = [part.dataset.sizes.get(dimension) for part in parts]
    known = [length for length in lengths if length is not None]
    return bool(known) and not any(known)


def no_records(parsed: ParsedFile, dimension: str | None) -> str:
    """The sentence for such a file."""
    return f"{parsed.source.url}: has no records along {dimension}"


def is_time(variable: xr.Variable) -> bool:
    """Whether a loaded variable holds moments."""
    if is_virtual(variable):
        return False
    holds_objects = variable.dtype == object and variable.size > 0
    return variable.dtype.kind == "M" or (
        holds_objects and hasattr(variable.values.flat[0], "calendar")
    )


def _names_time(parsed: ParsedFile, name: Any) -> bool:
    return " since " in str(parsed.packing.get(str(name), {}).get("units", ""))
