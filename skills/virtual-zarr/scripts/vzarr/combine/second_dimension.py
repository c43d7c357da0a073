"""A second dimension along which files lie that have the same records, as their coordinates say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from vzarr.virtualize.model import ParsedFile, is_virtual

FULL = 0.5
"""The share of the places of a grid that must have a file; with less it may be none."""


def find_second(files: Sequence[ParsedFile], dimension: str) -> str | None:
    """The coordinate of one value that tells files of the same records apart, as a forecast's step.

    None where records do not repeat, where no coordinate or several tell them apart, and where less
    than half of the grid would have a file.
    """
    rows: dict[bytes, list[ParsedFile]] = {}
    for file in files:
        records = None if file.children else _values(file, dimension)
        if records is None:
            return None
        rows.setdefault(records.tobytes(), []).append(file)
    if len(rows) == len(files):
        return None
    places: dict[str, int] = {}
    for name in map(str, files[0].dataset.variables):
        values = {id(file): _place(file, name) for file in files}
        if name == dimension or any(value is None for value in values.values()):
            continue
        if any(len({values[id(file)] for file in row}) < len(row) for row in rows.values()):
            continue
        places[name] = len({*values.values()})
    if not places:
        return None
    fewest = min(places.values())
    names = [name for name, count in places.items() if count == fewest]
    is_dimension = names[0] in files[0].dataset.dims
    if len(names) > 1 or len(files) < FULL * len(rows) * fewest:
        return None
    # One row of scalars may be one file, issued several times.
    return names[0] if len(rows) > 1 or is_dimension else None


def _variable(file: ParsedFile, name: str) -> xr.Variable | None:
    variable = file.dataset.variables.get(name)
    if variable is not None and is_virtual(variable):
        return file.scalars.get(name)
    return variable


def _values(file: ParsedFile, dimension: str) -> np.ndarray | None:
    variable = _variable(file, dimension)
    return None if variable is None or variable.ndim > 1 else np.asarray(variable.values)


def _place(file: ParsedFile, name: str) -> bytes | None:
    """The value of a coordinate that has one; None of any other variable."""
    variable = _variable(file, name)
    if variable is None or variable.size != 1 or variable.dims not in ((), (name,)):
        return None
    values = np.asarray(variable.values)
    return values.tobytes() if values.dtype.kind in "iufmM" else None
