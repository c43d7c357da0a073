"""Packing that differs from file to file, kept along the records: integers stay references.

``v`` is stored as its files pack it, beside ``v_scale_factor`` and ``v_add_offset`` with a number
for each record: ``v * v_scale_factor + v_add_offset`` are the values.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.recode import packing_of
from vzarr.errors import Refused
from vzarr.virtualize.equality import same
from vzarr.virtualize.model import ParsedFile, is_virtual

LINEAR = {"scale_factor": 1.0, "add_offset": 0.0}
"""What is kept along the records, and what it is where a file does not say."""


def unpacking_names(name: str) -> dict[str, str]:
    """The variables that unpack another one, by the attribute that they stand for."""
    return {key: f"{name}_{key}" for key in LINEAR}


def needed(name: str) -> str:
    """What readers compute."""
    return " ".join([name, "*", f"{name}_scale_factor", "+", f"{name}_add_offset"])


def differ_in_packing_only(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two packings differ in scale or offset, and in nothing else."""
    keys = {key for key in left.keys() | right.keys() if not same(left.get(key), right.get(key))}
    return bool(keys) and keys <= LINEAR.keys()


def differing_packing(files: Sequence[ParsedFile], dimension: str) -> set[str]:
    """Virtual variables that each file packs with a scale or offset of its own."""
    first: dict[str, tuple[Any, dict[str, Any]]] = {}
    differing, unfit = set(), set()
    for file in files:
        for name, variable in file.dataset.variables.items():
            if dimension not in variable.dims or name in file.raw:
                continue
            packing = packing_of(file.packing.get(str(name), {}))
            dtype = variable.dtype if is_virtual(variable) else None
            known_dtype, known = first.setdefault(str(name), (dtype, packing))
            if dtype is None or dtype != known_dtype or dtype.kind not in "iu":
                unfit.add(str(name))
            elif differ_in_packing_only(packing, known):
                differing.add(str(name))
            elif not same_packing(packing, known):
                unfit.add(str(name))
    return differing - unfit


def same_packing(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two packings mean the same."""
    return all(same(left.get(key), right.get(key)) for key in left.keys() | right.keys())


def with_raw(file: ParsedFile, names: Collection[str], dimension: str) -> ParsedFile:
    """A file with variables of these ``names`` as they are packed, and what unpacks them beside.

    Raises
    ------
    Refused
        If it has a variable of such a name.
    """
    todo = [
        name
        for name in sorted(names)
        if name in file.dataset.variables
        and name not in file.raw
        and is_virtual(file.dataset.variables[name])
        and dimension in file.dataset.variables[name].dims
    ]
    if not todo:
        return file
    new: dict[str, xr.Variable] = {}
    packing = dict(file.packing)
    coordinates = [name for name in todo if name in file.dataset.coords]
    for name in todo:
        variable = file.dataset.variables[name]
        own = packing.get(name, {})
        for key, more in unpacking_names(name).items():
            if more in file.dataset.variables:
                raise Refused(
                    f"{file.source.url}: has a variable {more}, the name of what would unpack "
                    f"{name}: leave it out with --drop {more}, or choose --irregular decode."
                )
            value = float(np.asarray(own.get(key, LINEAR[key])).ravel()[0])
            values = np.full(file.dataset.sizes[dimension], value)
            attributes = {"long_name": f"{key} of {name}"}
            new[more] = xr.Variable((dimension,), values, attributes)
            packing[more] = {}
        attrs = {key: value for key, value in variable.attrs.items() if key not in LINEAR}
        attrs["ancillary_variables"] = " ".join(unpacking_names(name).values())
        new[name] = xr.Variable(variable.dims, variable.data, attrs)
        packing[name] = {key: value for key, value in own.items() if key not in LINEAR}
    dataset = file.dataset.assign(new).set_coords(coordinates)
    return replace(file, dataset=dataset, packing=packing, raw=(*file.raw, *todo))


@dataclass(frozen=True)
class Unpacked:
    """A stored variable that is read as its values, a part at a time."""

    stored: xr.Variable
    scale: xr.Variable
    offset: xr.Variable
    dimension: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stored, name)

    def __getitem__(self, box: tuple[slice, ...]) -> xr.Variable:
        steps = {self.dimension: box[self.stored.dims.index(self.dimension)]}
        return self.stored[box] * self.scale.isel(steps) + self.offset.isel(steps)


def unpacked(dataset: xr.Dataset, name: str, dimension: str) -> xr.Variable:
    """A variable of a store as its values; what differs from a variable is that it is lazy."""
    scale, offset = (dataset.variables[more] for more in unpacking_names(name).values())
    values: Any = Unpacked(dataset.variables[name], scale, offset, dimension)
    return values
