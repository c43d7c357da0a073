"""Numbers that each file has one of, and another one than the others: stored along the records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from vzarr.virtualize.model import ParsedFile

PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")


NAMED = 5
"""Names in a note; the others are counted."""


def differing_scalars(files: Sequence[ParsedFile]) -> set[str]:
    """Variables without a dimension that are not the same in all files."""
    differing = set()
    for name in set.intersection(*({*file.scalars} for file in files)) if files else ():
        digests = {file.digests.get(name) for file in files}
        if len(digests) > 1 and None not in digests:
            differing.add(name)
    return differing


def along_records(file: ParsedFile, names: Collection[str], dimension: str) -> ParsedFile:
    """A file with its scalars as numbers along the record dimension, one for each record."""
    scalars = [name for name in names if name in file.scalars and not file.dataset[name].ndim]
    if not scalars:
        return file
    count = file.dataset.sizes[dimension]
    new = {name: _repeated(file, name, dimension, count) for name in scalars}
    digests = {name: value for name, value in file.digests.items() if name not in new}
    coordinates = [name for name in new if name in file.dataset.coords]
    dataset = file.dataset.drop_vars(scalars).assign(new).set_coords(coordinates)
    return replace(file, dataset=dataset, digests=digests)


def _repeated(file: ParsedFile, name: str, dimension: str, count: int) -> xr.Variable:
    scalar = file.scalars[name]
    values = np.broadcast_to(scalar.values, (count,)).copy()
    attributes = file.dataset[name].attrs  # where it is virtual, with what decodes it
    attributes = {k: v for k, v in attributes.items() if k not in {*scalar.encoding, *PACKING}}
    return xr.Variable((dimension,), values, attributes, scalar.encoding)


def note(names: Collection[str], dimension: str) -> str:
    """What is said of them."""
    listed = sorted(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    names_of_some = ", ".join(listed[:NAMED])
    return f"{names_of_some}{more}: not the same in all files, so stored along {dimension}"
