"""May these files share arrays? Everything that combining and appending do not compare.

Each finding names a file, a variable, both values and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.coordinates import apart
from vzarr.combine.mixed_array import MixedArray, chunk_shape
from vzarr.formats.open import open_native
from vzarr.sources.content import fetch
from vzarr.sources.schemes import Access
from vzarr.text import option
from vzarr.upstream.virtualizarr import chunk_urls, manifest_chunk_shape
from vzarr.virtualize.attributes import as_python
from vzarr.virtualize.equality import mismatch, same
from vzarr.virtualize.model import MEANING, ParsedFile, is_virtual

SEPARATE = "Build such files into a store of their own, or leave them out with --skip-bad"


NEARLY = 0.1
"""The share of a step up to which another coordinate may be one that was rounded."""


@dataclass(frozen=True)
class Difference:
    """One reason why a file cannot stand beside the first. ``str()`` gives the whole sentence.

    ``choice`` is a sentence that names options, before the ``advice`` for whoever wants none.
    """

    url: str
    variable: str
    what: str
    value: Any
    expected: Any
    first_url: str
    advice: str = SEPARATE
    choice: str = ""

    def __str__(self) -> str:
        return f"{self.reason}. {self.choice}{self.advice}."

    @property
    def reason(self) -> str:
        """Without what to do about it."""
        return (
            f"{self.url}: {self.variable}: {self.what} is {_show(self.value)}, but "
            f"{_show(self.expected)} in {self.first_url}"
        )


def _show(value: Any) -> str:
    return f"{value!s}" if isinstance(value, str | np.generic) else f"{value!r}"


def compare_files(
    first: ParsedFile, other: ParsedFile, dimension: str, access: Access
) -> list[Difference]:
    """All differences between two files that matter for combining them along ``dimension``."""
    differences: list[Difference] = []

    def differ(variable: str, what: str, value: Any, expected: Any, **more: str) -> None:
        differences.append(
            Difference(other.source.url, variable, what, value, expected, first.source.url, **more)
        )

    names, expected_names = set(other.dataset.variables), set(first.dataset.variables)
    if names != expected_names:
        for name in sorted(map(str, names ^ expected_names)):
            present = ("present", "absent") if name in names else ("absent", "present")
            differ(name, "the variable", *present)
        return differences
    for name in sorted(map(str, names)):
        grows = dimension in other.dataset[name].dims
        _compare_encoding(name, first, other, grows, differ)
        _compare_variable(
            name, first.dataset[name].variable, other.dataset[name].variable, dimension, differ
        )
        if grows:
            continue
        if first.digests.get(name) != other.digests.get(name):
            value, expected = _first_difference(name, first, other, access)
            advice = "Coordinates and static variables are stored once, so all files must agree"
            advice += _tolerance(first.dataset[name].variable, other.dataset[name].variable)
            advice = f"{advice}. {SEPARATE}{_or_along(name, other, dimension)}"
            differ(name, "the value", value, expected, advice=advice)
    return differences


def _tolerance(first: xr.Variable, other: xr.Variable) -> str:
    """What takes the first file's coordinate, where another is nearly the same."""
    if is_virtual(first) or is_virtual(other):
        return ""
    distance = apart(other.values, first.values)
    if distance > NEARLY:
        return ""
    share = f"{10.0 ** math.ceil(math.log10(distance)):g}" if distance else "0"
    return f". --tolerance {share} takes those of the first file, {distance:.2g} of a step away"


def _or_along(name: str, file: ParsedFile, dimension: str) -> str:
    """What to do with files along a second dimension, each of one step of it, as of a forecast."""
    variable = file.dataset.variables[name]
    is_place = variable.dims in ((), (name,)) and variable.size == 1
    if not is_place or variable.dtype.kind not in "iufmM" or name == dimension:
        return ""
    return _name_both(dimension, name)


def _other_members(name: str, first: xr.Variable, other: xr.Variable, dimension: str) -> str:
    """What to do with another number of values along a second dimension, as of members."""
    if is_virtual(first) or is_virtual(other) or np.isin(other.values, first.values).any():
        return SEPARATE
    return f"{SEPARATE}{_name_both(dimension, name)}"


def _name_both(dimension: str, name: str) -> str:
    dims = (option("--concat-dim", dim) for dim in (dimension, name))
    return f", or, if they lie along both, name both: {' '.join(dims)}"


def _compare_variable(
    name: str,
    first: xr.Variable,
    other: xr.Variable,
    dimension: str,
    differ: Callable[..., None],
) -> None:
    if other.dims != first.dims:
        differ(name, "the tuple of dimensions", other.dims, first.dims)
        return
    for dim, size, expected in zip(other.dims, other.shape, first.shape, strict=True):
        if dim != dimension and size != expected:
            more = {"advice": _other_members(name, first, other, dimension)} if name == dim else {}
            differ(name, f"the length of {dim}", size, expected, **more)
    if dimension not in other.dims:
        return
    if is_virtual(other) != is_virtual(first):
        kinds = {True: "virtual", False: "native"}
        differ(name, "the kind of storage", kinds[is_virtual(other)], kinds[is_virtual(first)])
        return
    if other.dtype != first.dtype:
        differ(name, "the dtype", str(other.dtype), str(first.dtype))
    if not is_virtual(other):
        return
    mine, theirs = other.data.metadata, first.data.metadata
    if mine.codecs != theirs.codecs:
        differ(name, "the list of codecs", list(mine.codecs), list(theirs.codecs))
    chunks, expected_chunks = chunk_shape(other.data), chunk_shape(first.data)
    if chunks != expected_chunks:
        differ(name, "the chunk shape", chunks, expected_chunks)
    # Chunks that were never written read as the array's fill value, the first file's.
    is_whole = (chunk_urls(other.data.manifest) != "").all()
    if not is_whole and not same(mine.fill_value, theirs.fill_value):
        differ(name, "the fill value", as_python(mine.fill_value), as_python(theirs.fill_value))


def _compare_encoding(
    name: str, first: ParsedFile, other: ParsedFile, grows: bool, differ: Callable[..., None]
) -> None:
    """All of what grows; of what is stored once, whose values are compared, only its meaning."""
    mine, theirs = other.packing.get(name, {}), first.packing.get(name, {})
    variable = first.dataset[name].variable
    is_decoded = variable.dtype.kind in "mMO"
    for key in sorted(mine.keys() | theirs.keys()):
        # Decoded times are encoded anew, so their epochs may differ.
        if key == "units" and (is_decoded or (not grows and " since " in str(mine.get(key)))):
            continue
        if key == "_FillValue" and variable.dtype.kind == "c" and key not in theirs:
            continue  # which xarray cannot read back from a store, so a store has none
        if (grows or key in MEANING) and not same(mine.get(key), theirs.get(key)):
            differ(name, key, as_python(mine.get(key)), as_python(theirs.get(key)))


def _first_difference(
    name: str, first: ParsedFile, other: ParsedFile, access: Access
) -> tuple[Any, Any]:
    """The first pair of values of a variable that differ, read natively from both files."""
    values = []
    for parsed in (other, first):
        content = fetch(parsed.source.url, access, parsed.source.size)
        with open_native(content, parsed.file_format, parsed.group, parsed.dropped) as native:
            values.append(np.asarray(native[name].values))
    mine, theirs = values
    if mine.shape != theirs.shape:
        return mine.shape, theirs.shape
    where = np.argwhere(np.atleast_1d(mismatch(mine, theirs, None)))
    if not len(where):
        return f"of type {mine.dtype}", f"of type {theirs.dtype}"
    index = tuple(where[0][: mine.ndim])
    return mine[index], theirs[index]


def partial_chunks(parsed: ParsedFile, dimension: str) -> list[Difference]:
    """Variables with a partial last chunk along ``dimension``: only the last file may have one."""
    differences = []
    for name in parsed.virtual:
        variable = parsed.dataset[name].variable
        if dimension not in variable.dims or isinstance(variable.data, MixedArray):
            continue
        axis = variable.dims.index(dimension)
        length, chunk = variable.shape[axis], manifest_chunk_shape(variable.data.metadata)[axis]
        if length % chunk:
            differences.append(
                Difference(
                    parsed.source.url,
                    name,
                    f"the length of {dimension}",
                    length,
                    f"a multiple of the chunk length {chunk}",
                    "all but the last file",
                    "Zarr's chunks are regular, so later data would be shifted. Build such files "
                    "into stores of their own, or rewrite them with a chunk length that divides "
                    "every file's",
                )
            )
    return differences
