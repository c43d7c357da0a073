"""The variables of one group: virtual, loaded, copied or dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cftime
import numpy as np
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup

from vzarr.errors import InputError, first_line, raise_fault
from vzarr.formats.checks import check_arrays
from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.hazards import hdf5_check, hdf5_hazards, hdf5_placeholders
from vzarr.formats.hdf5.unwritten import Unwritten
from vzarr.formats.reasons import INLINED, TEXT, Code, Reason
from vzarr.formats.registry import load_format
from vzarr.limits import Declared, limit, raising
from vzarr.sources.content import Content
from vzarr.sources.discover import Source
from vzarr.upstream.virtualizarr import chunk_ends, count_references
from vzarr.upstream.zarr import get_data_type_from_native_dtype
from vzarr.virtualize.attributes import complete, without_padding
from vzarr.virtualize.model import CF_ENCODING, holds_values
from vzarr.virtualize.plain_chunks import read_well
from vzarr.virtualize.probe import misread, open_references
from vzarr.virtualize.references import (
    array_without_references,
    fits,
    make_registry,
    match_arrays,
    parse_references,
)

NATIVE_LIMIT = 64 * 1024**2
"""A variable that cannot be virtual is copied up to this many bytes; a larger one is refused."""


@dataclass(frozen=True)
class Assembled:
    """One group; ``native`` and ``dropped``: why a variable was copied, or left out, by name."""

    dataset: xr.Dataset
    native: dict[str, Reason]
    dropped: dict[str, Reason]


def assemble(
    source: Source,
    content: Content,
    file_format: str,
    group: str,
    native: xr.Dataset,
    drop: tuple[str, ...],
    empty: dict[str, Unwritten],
    record_dimension: str | None,
) -> Assembled:
    """One group's dataset: virtual where that reads right, loaded or copied where it has to be."""
    registry = make_registry(content, file_format)
    copied: dict[str, Reason] = {}
    placeholders: list[str] = []
    if file_format == "hdf5":
        copied = hdf5_hazards(content, group)
        copied = {name: reason for name, reason in copied.items() if name in native.variables}
        placeholders = hdf5_placeholders(content, native, group)
    loaded = _loaded_names(native, record_dimension)
    unwanted = sorted({*drop, *copied, *placeholders, *empty})
    manifests, failures = parse_references(registry, content, file_format, group, native, unwanted)
    copied.update(failures)
    _check_end(source, content, group, manifests)
    _check_empty(content, group, manifests)
    arrays = {
        **manifests.arrays,
        **{name: array_without_references(item) for name, item in empty.items()},
    }
    arrays = {name: read_well(array) for name, array in arrays.items()}
    variables, dropped = match_arrays(arrays, native, copied)
    probe = open_references(variables, registry)
    for name in sorted(variables.keys() - empty.keys() - loaded):
        if holds_values(variables[name]):
            text = variables[name].dtype.kind in "TO"
            copied[name] = TEXT if text else INLINED
        elif content.findings.as_others:
            continue  # all but its time is as in a file that was read before
        elif problem := misread(probe, native, name, content.url):
            copied[name] = Reason(Code.MISREAD, problem)
    for name in map(str, native.variables):
        if name not in variables and name not in loaded:
            known = content.findings.reasons.get(f"{group}/{name}".lstrip("/"))
            missing = Reason(Code.NOT_PARSED, "the parser does not return it")
            copied.setdefault(name, Reason(Code.FORMAT, known) if known else missing)
    unfit = content.findings.unfit
    for name in [name for name in map(str, native.variables) if name in loaded or name in copied]:
        path = f"{group}/{name}".lstrip("/")
        variables.pop(name, None)
        if file_format == "hdf5" and name in copied:
            hdf5_check(content, group, name)
        stored = _copy(native, name, copied.get(name), content.url)
        if isinstance(stored, str):
            unfit[path] = stored
            continue
        variables[name] = stored
    _complete_copies({n: variables[n] for n in copied if n in variables}, content, registry)
    if not variables:
        manifests = ManifestGroup(attributes=dict(manifests.metadata.attributes))
    attributes = complete(dict(manifests.metadata.attributes), native.attrs)
    attributes.pop("coordinates", None)
    virtual = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=attributes)
    virtual = virtual.assign(variables)
    virtual = virtual.set_coords([name for name in native.coords if name in variables])
    return Assembled(virtual, copied, dropped)


def _complete_copies(
    copies: dict[str, xr.Variable], content: Content, registry: ObjectStoreRegistry
) -> None:
    """Give copies the attributes that references in their place would have."""
    copied_attributes = getattr(load_format(detect_format(content)), "copied_attributes", None)
    if copied_attributes is None:
        return
    for name, variable in copies.items():
        variable.attrs = complete(
            copied_attributes(content.url, registry, content, name), variable.attrs
        )


def _check_end(source: Source, content: Content, group: str, manifests: ManifestGroup) -> None:
    """Where references go beyond a file's end netCDF-C reads zeros and says nothing.

    Raises
    ------
    InputError
        If the file is shorter than what is in it.
    """
    if content.is_folder or content.url != source.url:
        return
    for name, array in manifests.arrays.items():
        required = chunk_ends(array.manifest, content.url)
        if required.size and int(required.max()) > source.size:
            path = f"{group}/{without_padding(name)}".lstrip("/")
            raise InputError(
                f"{source.url}: {path} ends at byte {int(required.max())}, "
                f"the file at {source.size}: it is incomplete; fetch it again."
            )


def _check_empty(content: Content, group: str, manifests: ManifestGroup) -> None:
    """Chunks that are not there cost as much as others, and nothing in the file.

    Raises
    ------
    Refused
        If there are more than is allowed.
    """
    arrays = []
    for name, array in manifests.arrays.items():
        grid = array.manifest.shape_chunk_grid
        stored = count_references(array.manifest)
        path = f"{group}/{without_padding(name)}".lstrip("/")
        arrays.append(Declared(path, grid, 0, (1,) * len(grid), stored))
    check_arrays(content, group, arrays)


def _copy(native: xr.Dataset, name: str, reason: Reason | None, url: str) -> xr.Variable | str:
    """A variable's values as they are stored in Zarr, or why they cannot be."""
    if reason is None and native[name].nbytes > limit("load"):
        return (
            f"belongs to the coordinates, which are loaded as numbers, and has "
            f"{native[name].nbytes:,} bytes, more than the {limit('load'):,} allowed (allow it "
            f"with {raising('load', native[name].nbytes)})"
        )
    if reason is not None and native[name].nbytes > NATIVE_LIMIT:
        return (
            f"cannot be virtual ({reason}) and is too large to copy "
            f"({native[name].nbytes // 1024**2} MB)"
        )
    try:
        variable = native[name].variable.load()
    except Exception as error:
        raise_fault(url, error)
        return (
            f"cannot be virtual ({reason or 'loaded'}), and the native reader fails "
            f"({first_line(error)})"
        )
    if kind := foreign_type(variable):
        return f"is {kind} that cannot be virtual ({reason})"
    return as_stored(variable)


def as_stored(variable: xr.Variable) -> xr.Variable:
    """A decoded variable in the form in which it is written, to be read back as it is."""
    encoding = _portable_encoding(variable)
    if variable.ndim and variable.dtype == "S1":
        # Readers take an array of single bytes for text, a letter in each.
        variable = variable.astype("U1")
    elif variable.dtype.kind == "U":
        # As long as the longest text of this file, while other files may have a longer one.
        variable = variable.astype(object)
    variable.encoding = encoding
    return variable


def foreign_type(variable: xr.Variable) -> str:
    """What Zarr has no type for, or an empty string."""
    if variable.dtype.names:
        return "of a compound type"
    if variable.dtype.kind == "V":
        return "of an opaque type"
    if variable.dtype == object:
        known = str | bytes | bool | int | float | np.generic | cftime.datetime | None
        if all(isinstance(value, known) for value in variable.values.flat):
            return ""
        arrays = any(isinstance(value, np.ndarray | list | tuple) for value in variable.values.flat)
        return "of arrays of varying length" if arrays else "of references to other objects"
    if variable.dtype.kind not in "mMU":
        try:
            get_data_type_from_native_dtype(variable.dtype)
        except Exception:
            return f"of the type {variable.dtype}"
    return ""


def _loaded_names(native: xr.Dataset, record_dimension: str | None) -> set[str]:
    """Index coordinates, bounds of times and the scalar to combine along are kept as numbers."""
    names = {str(name) for name, variable in native.variables.items() if variable.dims == (name,)}
    # A time keeps its file's epoch if it stays virtual, as it does in groups without coordinates.
    names |= {
        str(name)
        for name, variable in native.variables.items()
        if variable.dims == (record_dimension,) and variable.dtype.kind == "M"
    }
    names |= {str(name) for name, v in native.variables.items() if v.encoding.get("loaded")}
    if record_dimension is not None and _is_scalar(native, record_dimension):
        names.add(record_dimension)
    names &= {str(name) for name in native.variables}
    names |= {str(native[name].attrs["bounds"]) for name in names if "bounds" in native[name].attrs}
    return names & {str(name) for name in native.variables}


def _is_scalar(dataset: xr.Dataset, name: str) -> bool:
    return name in dataset.variables and dataset.variables[name].ndim == 0


def _portable_encoding(variable: xr.Variable) -> dict[str, Any]:
    """The CF part of a source's encoding; chunking and codecs are the source format's own."""
    keys = {*CF_ENCODING, "dtype"} - {"_Unsigned"}
    encoding = {key: variable.encoding[key] for key in keys if key in variable.encoding}
    text = variable.dtype.kind in "OSU" and "calendar" not in encoding
    no_way_back = np.any(np.equal(encoding.get("scale_factor", 1), 0))
    if text or no_way_back or variable.encoding.get("_Unsigned"):
        return {}
    for key in ("_FillValue", "missing_value"):
        if key in encoding and np.size(encoding[key]) > 1:
            encoding[key] = np.ravel(encoding[key])[0]
        if key in encoding and not fits(encoding[key], encoding.get("dtype", variable.dtype)):
            del encoding[key]
    if encoding.get("_FillValue") is None:
        encoding["_FillValue"] = None
    return encoding
