"""One file to references, checked against what a native reader sees in it.

Whatever the parser loses, invents or reads wrong is replaced by a native copy or dropped, and the
reason is kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cftime
import h5py
import numpy as np
import obstore
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.exceptions import BaseError
from obstore.store import MemoryStore
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup, ManifestStore
from virtualizarr.manifests.manifest import INLINED_CHUNK_PATH
from virtualizarr.manifests.utils import copy_and_replace_metadata, create_v3_array_metadata
from virtualizarr.parsers.utils import encode_cf_fill_value
from zarr.core.buffer import default_buffer_prototype
from zarr.core.dtype import get_data_type_from_native_dtype

from vzarr import formats
from vzarr.errors import EnvironmentFault, InputError, Refused, is_failure, raise_fault
from vzarr.find import Source
from vzarr.limits import Declared, box_shape, boxes, check_number, limit, raising
from vzarr.native import (
    VLEN_STRINGS,
    Content,
    Unwritten,
    check_arrays,
    detect_format,
    empty_chunk,
    fetch,
    fingerprint,
    hdf5_check,
    hdf5_hazards,
    hdf5_placeholders,
    hdf5_unwritten,
    list_groups,
    mismatch,
    open_native,
    rounding,
)
from vzarr.reading import FileStore, RemoteFile
from vzarr.storage import Access, object_store, root_of
from vzarr.text import drop_options
from vzarr.unpacking import TooLong

NATIVE_LIMIT = 64 * 1024**2
"""A variable that cannot be virtual is copied up to this many bytes; a larger one is refused."""
NAMED = "named by --drop"
DIGESTED = 32 * 1024**2
"""Bytes of a variable that are hashed at a time."""
PROBE_LIMIT, PROBE_CHUNKS = 4 * 1024**2, 1000
"""Bytes and chunks up to which a variable is compared whole with the native reader, else in part.
"""


@dataclass
class ParsedFile:
    """What became of one file.

    ``dataset`` holds virtual variables (ManifestArray) and loaded ones (NumPy); ``native`` and
    ``dropped`` give the reason for each variable that did not become virtual; ``packing`` holds the
    CF encoding of every variable; ``digests`` the hash of the decoded values of each variable
    without the record dimension. It describes the root ``group``; ``children`` the others, by path.
    ``data_url`` is where the bytes lie: elsewhere than the source for DMR++. ``fingerprint`` tells
    whether two files hold the same; None for folders.
    """

    source: Source
    file_format: str
    dataset: xr.Dataset
    unlimited: tuple[str, ...] = ()
    native: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    packing: dict[str, dict[str, Any]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    group: str = ""
    children: dict[str, ParsedFile] = field(default_factory=dict)
    data_url: str = ""
    fingerprint: str | None = None

    def as_record(self) -> dict[str, object]:
        """JSON form of the source, as kept in the commit's metadata."""
        return {**self.source.as_record(), "fingerprint": self.fingerprint}

    @property
    def is_empty(self) -> bool:
        return not self.dataset.variables

    @property
    def virtual(self) -> list[str]:
        return [str(name) for name, v in self.dataset.variables.items() if is_virtual(v)]

    @property
    def references(self) -> int:
        """Chunks of its virtual variables, in all groups."""
        own = (
            math.prod(self.dataset[name].data.manifest.shape_chunk_grid) for name in self.virtual
        )
        return sum(own) + sum(part.references for part in self.children.values())


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be parsed, and the sentence that says why."""

    source: Source
    reason: str


MEANING = ("units", "flag_values", "flag_masks", "flag_meanings")
"""Attributes that say what decoded numbers mean: of one array, so of all files in it."""
CF_ENCODING = (
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "calendar",
    *MEANING,
)


def is_virtual(variable: xr.Variable) -> bool:
    return isinstance(variable._data, ManifestArray)


def holds_values(variable: xr.Variable) -> bool:
    """Whether a virtual variable's values, or some, are kept beside the references."""
    return bool((variable.data.manifest._paths == INLINED_CHUNK_PATH).any())


def parse_file(
    source: Source,
    access: Access,
    drop: tuple[str, ...] = (),
    record_dimension: str | None = None,
    groups: tuple[str, ...] = (),
    content: Content | None = None,
) -> ParsedFile:
    """References to one file, each variable compared with the native reader.

    ``drop`` names variables in any group, or one variable or group by its path;
    ``record_dimension`` the dimension to combine along; ``groups`` and what lies below them are
    taken, or all. ``content`` if it is fetched already.

    Raises
    ------
    InputError
        If the format is not supported, or there are no variables.
    Refused
        If a variable can neither be virtual nor be copied.
    """
    content = content or fetch(source.url, access, source.size)
    file_format = detect_format(content)
    chosen = _choose_groups(source.url, list_groups(content), groups, drop)
    parsed = ParsedFile(source, file_format, xr.Dataset())
    for group in chosen:
        part = _parse_group(
            source, content, file_format, group, drop, record_dimension, alone=len(chosen) == 1
        )
        if not group:
            parsed = part
        elif not part.is_empty:
            part.unlimited += parsed.unlimited  # dimensions are declared above the group
            parsed.children[group] = part
    if unfit := _not_dropped(content.cache.get("unfit", {}), drop):
        raise refusal(source.url, unfit)
    if parsed.is_empty and not parsed.children:
        raise InputError(nothing_in(content, drop))
    for path, reason in content.cache.get("without values", {}).items():
        room, _, name = path.rpartition("/")
        part = parsed.children.get(room) if room else parsed
        if part is not None:
            part.dropped.setdefault(name, reason)
    parsed.data_url = content.url
    parsed.fingerprint = fingerprint(content, source.size)
    parsed.notes = list(dict.fromkeys([*parsed.notes, *content.cache.get("notes", ())]))
    return parsed


def look_at(
    source: Source, access: Access, drop: tuple[str, ...] = (), groups: tuple[str, ...] = ()
) -> list[ParsedFile]:
    """The groups of a file with the coordinates that they hold, and nothing of their other values.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    parts = []
    unlimited: tuple[str, ...] = ()
    try:
        content = fetch(source.url, access, source.size)
        file_format = detect_format(content)
        for group in _choose_groups(source.url, list_groups(content), groups, drop):
            with open_native(content, file_format, group, drop, quick=True) as native:
                variables = {
                    name: variable.load()
                    if variable.dims in ((name,), ())
                    else xr.Variable(
                        variable.dims,
                        np.broadcast_to(np.empty((), variable.dtype), variable.shape),
                        variable.attrs,
                    )
                    for name, variable in native.variables.items()
                }
                part = ParsedFile(source, file_format, xr.Dataset(variables), group=group)
                part.unlimited = tuple(native.encoding.get("unlimited_dims", ()))
                part.packing = {str(n): cf_encoding(v) for n, v in native.variables.items()}
            if group:
                part.unlimited += unlimited  # dimensions are declared above the group
            else:
                unlimited = part.unlimited
            if not part.is_empty:
                parts.append(part)
    except (InputError, Refused, EnvironmentFault):
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        raise_fault(source.url, error)
        raise InputError(unreadable(source.url, error)) from error
    unfit = _not_dropped(content.cache.get("unfit", {}), drop)
    if unfit and not parts:
        raise refusal(source.url, unfit)
    if not parts:
        raise InputError(nothing_in(content, drop))
    return parts


def _not_dropped(unfit: dict[str, str], drop: tuple[str, ...]) -> dict[str, str]:
    return {
        path: reason
        for path, reason in unfit.items()
        if path.rpartition("/")[2] not in drop
        and not any(_is_within(path, name.strip("/")) for name in drop)
    }


def nothing_in(content: Content, drop: tuple[str, ...] = ()) -> str:
    """The sentence for a file without a variable, and what is in it instead."""
    if drop:
        return f"{content.url}: holds no variables any more: drop less."
    found = content.cache.get("instead") or "nothing in it is an array with values"
    return f"{content.url}: holds no variables: {found}; leave it out."


def _choose_groups(
    url: str, available: list[str], wanted: tuple[str, ...], drop: tuple[str, ...]
) -> list[str]:
    wanted = tuple(group.strip("/") for group in wanted)
    chosen = [
        group
        for group in available
        if not wanted or any(_is_within(group, place) for place in wanted)
    ]
    if not chosen:
        held = ", ".join(group for group in available[:8] if group) or "none"
        raise InputError(f"{url}: has no group {wanted[0]}; its groups: {held}.")
    return [group for group in chosen if not any(_is_within(group, name) for name in drop if group)]


def _is_within(group: str, place: str) -> bool:
    return group == place or not place or group.startswith(f"{place}/")


def _parse_group(
    source: Source,
    content: Content,
    file_format: str,
    group: str,
    drop: tuple[str, ...],
    record_dimension: str | None,
    alone: bool,
) -> ParsedFile:
    prefix = f"{group}/" if group else ""
    drop = tuple(name.removeprefix(prefix) for name in drop if "/" not in name.removeprefix(prefix))
    empty = hdf5_unwritten(content, group) if file_format == "hdf5" else {}
    empty = {name: array for name, array in empty.items() if name not in drop}
    for name, dataset in empty.items():
        if dataset.is_index:
            raise Refused(
                f"{source.url}: {prefix}{name} is declared with {dataset.shape[0]} values and none "
                "was ever written, and whoever opens a store loads its coordinates. "
                f"Leave it out with {drop_options([prefix + name])}."
            )
    with warnings.catch_warnings(), open_native(content, file_format, group, drop) as native:
        warnings.simplefilter("ignore")
        if not native.variables:
            attributes = {key: plain(value) for key, value in native.attrs.items()}
            nothing = xr.Dataset(attrs=attributes)
            notes = clean_attributes(nothing)
            unlimited = tuple(native.encoding.get("unlimited_dims", ()))
            return ParsedFile(source, file_format, nothing, unlimited, notes=notes, group=group)
        packing = {str(name): cf_encoding(v) for name, v in native.variables.items()}
        parsed = ParsedFile(
            source,
            file_format,
            _assemble(source, content, file_format, group, native, drop, empty, record_dimension),
            tuple(native.encoding.get("unlimited_dims", ())),
            packing=packing,
            group=group,
        )
        parsed.native = parsed.dataset.attrs.pop("__native__")
        parsed.dropped = parsed.dataset.attrs.pop("__dropped__")
        parsed.dropped.update(dict.fromkeys(drop, NAMED))
        _check_nesting(source.url, parsed.dataset)
        parsed.notes = clean_attributes(parsed.dataset)
        if record_dimension is not None:
            # A file of one group without the record dimension gets it in front of these.
            grown = alone and record_dimension not in native.dims
            parsed.digests = {
                str(name): digest(variable)
                for name, variable in native.variables.items()
                if record_dimension not in variable.dims
                and name != record_dimension
                and not (grown and variable.ndim and name in native.data_vars)
            }
    return parsed


def cf_encoding(variable: xr.Variable) -> dict[str, Any]:
    """What decides how stored numbers of a decoded variable become values."""
    merged = {**variable.attrs, **variable.encoding}
    return {key: merged[key] for key in CF_ENCODING if merged.get(key) is not None}


def digest(variable: xr.Variable) -> str:
    """A hash of a variable's dimensions and decoded values; NaN is NaN, whatever its bits."""
    found = hashlib.sha256(repr((variable.dims, variable.shape)).encode())
    if variable.dtype.hasobject:
        found.update(repr(variable.values.tolist()).encode())
        return found.hexdigest()
    step = box_shape(variable.shape, variable.dtype.itemsize, DIGESTED)
    for box in boxes(variable.shape, step):
        values = variable[box].values
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values)
        found.update(values.tobytes())
    return found.hexdigest()


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def unreadable(url: str, error: BaseException) -> str:
    """The sentence for a file that its reader refuses."""
    return f"{url}: cannot be read: {first_line(error)}; fetch it again, or leave it out."


def _registry(content: Content, file_format: str) -> ObjectStoreRegistry:
    roots = [root_of(url) for url in content.cache.get("targets", ())]
    stores = {root: object_store(root + "/", content.access)[0] for root in roots}
    store, path = object_store(content.url, content.access)
    if isinstance(content.handle, bytes) and not formats.FORMATS[file_format].references:
        # The parser reads the bytes that were fetched; its references still name the source.
        store = MemoryStore()
        obstore.put(store, path, content.handle)
    elif isinstance(content.handle, RemoteFile) and file_format == "hdf5":
        store = FileStore(content.handle)
    return ObjectStoreRegistry({**stores, root_of(content.url): store})


def _assemble(
    source: Source,
    content: Content,
    file_format: str,
    group: str,
    native: xr.Dataset,
    drop: tuple[str, ...],
    empty: dict[str, Unwritten],
    record_dimension: str | None,
) -> xr.Dataset:
    """One group's dataset: virtual where that reads right, loaded or copied where it has to be."""
    registry = _registry(content, file_format)
    copied: dict[str, str] = {}
    placeholders: list[str] = []
    if file_format == "hdf5":
        copied = hdf5_hazards(content, group)
        copied = {name: reason for name, reason in copied.items() if name in native.variables}
        placeholders = hdf5_placeholders(content, native, group)
    loaded = _loaded_names(native, record_dimension)
    unwanted = sorted({*drop, *copied, *placeholders, *empty})
    manifests, failures = _parse_references(registry, content, file_format, group, native, unwanted)
    copied.update(failures)
    _check_end(source, content, group, manifests)
    _check_empty(content, group, manifests)
    arrays = {**manifests.arrays, **{name: _nothing(item) for name, item in empty.items()}}
    variables, dropped = _matching(arrays, native, copied)
    probe = _open_references(variables, registry)
    for name in sorted(variables.keys() - empty.keys() - loaded):
        if holds_values(variables[name]):
            text = variables[name].dtype.kind in "TO"
            copied[name] = VLEN_STRINGS if text else "kept in the references"
        elif problem := _misread(probe, native, name, content.url):
            copied[name] = problem
    for name in native.variables:
        if name not in variables and name not in loaded:
            reasons = content.cache.get("reasons", {})
            reason = reasons.get(f"{group}/{name}".lstrip("/"), "the parser does not return it")
            copied.setdefault(str(name), reason)
    unfit = content.cache.setdefault("unfit", {})
    for name in [name for name in native.variables if name in loaded or name in copied]:
        path = f"{group}/{name}".lstrip("/")
        variables.pop(str(name), None)
        if file_format == "hdf5" and name in copied:
            hdf5_check(content, group, str(name))
        found = _copy(native, str(name), copied.get(name), content.url)
        if isinstance(found, str):
            unfit[path] = found
            continue
        variables[str(name)] = found
    if not variables:
        manifests = ManifestGroup(attributes=dict(manifests.metadata.attributes))
    attributes = _complete(dict(manifests.metadata.attributes), native.attrs)
    attributes.pop("coordinates", None)
    virtual = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=attributes)
    virtual = virtual.assign(variables)
    virtual = virtual.set_coords([name for name in native.coords if name in variables])
    virtual.attrs["__native__"] = copied
    virtual.attrs["__dropped__"] = dropped
    return virtual


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
        manifest = array.manifest
        here = manifest._paths == content.url
        ends = (manifest._offsets + manifest._lengths)[here]
        if ends.size and int(ends.max()) > source.size:
            path = f"{group}/{_without_padding(name)}".lstrip("/")
            raise InputError(
                f"{source.url}: {path} ends at byte {int(ends.max())}, the file at {source.size}: "
                "it is incomplete; fetch it again."
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
        held = int((array.manifest._paths != "").sum())
        path = f"{group}/{_without_padding(name)}".lstrip("/")
        arrays.append(Declared(path, grid, 0, (1,) * len(grid), held))
    check_arrays(content, group, arrays)


def _copy(native: xr.Dataset, name: str, reason: str | None, url: str) -> xr.Variable | str:
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
    if kind := _foreign_type(variable):
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


def _foreign_type(variable: xr.Variable) -> str:
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


def refusal(url: str, unfit: dict[str, str]) -> Refused:
    """One sentence for all variables that can be neither virtual nor copied."""
    options = drop_options(unfit)
    if len(unfit) == 1:
        ((path, reason),) = unfit.items()
        return Refused(f"{url}: {path} {reason}. Leave it out with {options}.")
    reasons = "; ".join(f"{path} {reason}" for path, reason in list(unfit.items())[:3])
    more = f"; and {len(unfit) - 3} more" if len(unfit) > 3 else ""
    return Refused(f"{url}: {reasons}{more}. Leave them out with {options}.")


def _complete(attributes: dict[str, Any], known: Mapping[Any, Any]) -> dict[str, Any]:
    """Attributes as the parser gives them, with those of the native reader that it lost."""
    attributes = {_without_padding(key): value for key, value in attributes.items()}
    for key, value in known.items():
        if str(plain(attributes.get(key))) != str(plain(value)):
            attributes[str(key)] = value
    return {key: value for key, value in attributes.items() if not is_reference(value)}


def is_reference(value: Any) -> bool:
    """HDF5 references, of which nothing outside of their file can make use."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and any(map(is_reference, value.flat))
    if isinstance(value, list | tuple):
        return any(map(is_reference, value))
    return isinstance(value, h5py.Reference | h5py.RegionReference)


def _loaded_names(native: xr.Dataset, record_dimension: str | None) -> set[str]:
    """Index coordinates, bounds of times and the scalar to combine along are kept as numbers."""
    names = {str(name) for name, variable in native.variables.items() if variable.dims == (name,)}
    # A time keeps its file's epoch if it stays virtual, as it does in groups without coordinates.
    names |= {
        str(name)
        for name, variable in native.variables.items()
        if variable.dims == (record_dimension,) and variable.dtype.kind == "M"
    }
    if record_dimension in native.variables and native[record_dimension].ndim == 0:
        names.add(record_dimension)
    names &= {str(name) for name in native.variables}
    names |= {str(native[name].attrs["bounds"]) for name in names if "bounds" in native[name].attrs}
    return names & {str(name) for name in native.variables}


def _portable_encoding(variable: xr.Variable) -> dict[str, Any]:
    """The CF part of a source's encoding; chunking and codecs are the source format's own."""
    keys = {*CF_ENCODING, "dtype"} - {"_Unsigned"}
    encoding = {key: variable.encoding[key] for key in keys if key in variable.encoding}
    text = variable.dtype.kind in "OSU" and "calendar" not in encoding
    no_way_back = np.any(np.equal(encoding.get("scale_factor", 1), 0))
    if text or no_way_back or variable.encoding.get("_Unsigned"):
        return {}
    for key in ("_FillValue", "missing_value"):
        if np.size(encoding.get(key)) > 1:
            encoding[key] = np.ravel(encoding[key])[0]
        if key in encoding and not _fits(encoding[key], encoding.get("dtype", variable.dtype)):
            del encoding[key]
    if encoding.get("_FillValue") is None:
        encoding["_FillValue"] = None
    return encoding


def _fits(value: Any, dtype: Any) -> bool:
    """Whether a stored number can have this value; one that none can have masks nothing."""
    kind = np.dtype(dtype)
    if kind.kind not in "iuf":
        return True
    try:
        if kind.kind == "f":
            return np.asarray(value, float).size > 0
        numbers = [int(number) for number in np.ravel(value).tolist()]
    except (TypeError, ValueError, OverflowError):  # text, NaN or infinity
        return False
    info = np.iinfo(kind)
    return all(info.min <= number <= info.max for number in numbers)


def _parse_references(
    registry: ObjectStoreRegistry,
    content: Content,
    file_format: str,
    group: str,
    native: xr.Dataset,
    drop: list[str],
) -> tuple[ManifestGroup, dict[str, str]]:
    """The parser's references, without the variables that it cannot parse, and why it cannot."""
    module = formats.load(file_format)

    def parse(unwanted: list[str]) -> ManifestGroup:
        return module.manifest_group(content.url, registry, content, group, unwanted)

    def find_failures(suspects: list[str], error: Exception) -> dict[str, str]:
        if len(suspects) == 1:
            return {suspects[0]: f"the parser fails on it: {first_line(error)}"}
        found: dict[str, str] = {}
        half = len(suspects) // 2
        for part in (suspects[:half], suspects[half:]):
            try:
                parse([*drop, *(name for name in names if name not in part)])
            except Exception as problem:
                raise_fault(content.url, problem)
                found |= find_failures(part, problem)
        return found

    try:
        return parse(drop), {}
    except Refused:  # what is declared too large
        raise
    except Exception as error:
        raise_fault(content.url, error)
        names = [str(name) for name in native.variables if name not in drop]
        first = error
    try:
        parse([*drop, *names])  # what fails without any variable fails with each
        failures = find_failures(names, first)
        return parse([*drop, *failures]), failures
    except EnvironmentFault:
        raise
    except Exception as error:
        raise_fault(content.url, error)
        # The file as a whole defeats the parser: everything is copied, or refused as too large.
        return ManifestGroup(), dict.fromkeys(names, f"the parser fails: {first_line(first)}")


def _nothing(dataset: Unwritten) -> ManifestArray:
    """An array without a single reference. The parser makes room for one for each element."""
    chunks = empty_chunk(dataset.shape)
    metadata = create_v3_array_metadata(
        shape=dataset.shape,
        data_type=dataset.dtype,
        chunk_shape=chunks,
        fill_value=dataset.fill,
        codecs=[],
        dimension_names=None,
        attributes=dataset.attributes,
    )
    grid = tuple(-(-size // chunk) for size, chunk in zip(dataset.shape, chunks, strict=True))
    return ManifestArray(metadata, ChunkManifest({}, shape=grid))


def _matching(
    arrays: dict[str, ManifestArray], native: xr.Dataset, copied: dict[str, str]
) -> tuple[dict[str, xr.Variable], dict[str, str]]:
    """The parsed arrays that the native reader knows too, with its dimensions and its mask."""
    variables: dict[str, xr.Variable] = {}
    dropped: dict[str, str] = {}
    for name, array in arrays.items():
        name = name if name in native.variables else _without_padding(name)
        if name not in native.variables:
            dropped[name] = "not a variable of the file, but a placeholder of the format"
            continue
        truth = native.variables[name]
        if array.shape != truth.shape:
            copied[name] = "the parser returns another shape"
            continue
        metadata = copy_and_replace_metadata(
            array.metadata, new_dimension_names=None, new_attributes={}
        )
        try:
            metadata.to_buffer_dict(default_buffer_prototype())
        except (TypeError, ValueError) as error:
            copied[name] = f"Zarr cannot describe it: {first_line(error)}"
            continue
        coded = {key: truth.encoding.get(key) for key in CF_ENCODING if key != "_FillValue"}
        coded = {key: value for key, value in coded.items() if value is not None}
        attributes = {**coded, **_complete(dict(array.metadata.attributes), truth.attrs)}
        attributes = {
            key: value if key == "_FillValue" else plain(value) for key, value in attributes.items()
        }
        if isinstance(attributes.get("coordinates"), list):  # which xarray cannot split
            attributes["coordinates"] = " ".join(map(str, attributes["coordinates"]))
        fill = attributes.get("_FillValue", truth.encoding.get("_FillValue"))
        if array.dtype.kind not in "iuf":
            attributes.pop("_FillValue", None)  # which xarray cannot read back
        elif fill is not None and not isinstance(fill, str):
            # Kerchunk and Zarr 2 keep it as the array's fill value only, and xarray then masks
            # none; or as a number, which xarray cannot read from a float array of Zarr 3.
            if np.size(fill) != 1:
                copied[name] = "its _FillValue has several values"
                continue
            if _fits(fill, array.dtype):
                fill = np.asarray(fill).astype(array.dtype)
                attributes["_FillValue"] = encode_cf_fill_value(fill, array.dtype)
            else:
                attributes.pop("_FillValue", None)
        variables[name] = xr.Variable(
            truth.dims, ManifestArray(metadata, array.manifest), attributes
        )
    return variables, dropped


class _References(ManifestStore):
    """Zarr asks for the name of its store at every variable; the parent's lists all variables."""

    def __str__(self) -> str:
        return "references"


def _open_references(
    variables: dict[str, xr.Variable], registry: ObjectStoreRegistry
) -> xr.Dataset:
    """What reads through references, to be compared with the native reader."""
    arrays = {}
    for name, variable in variables.items():
        metadata = copy_and_replace_metadata(
            variable.data.metadata,
            new_dimension_names=variable.dims,
            new_attributes={k: v for k, v in variable.attrs.items() if _is_json(v)},
        )
        arrays[name] = ManifestArray(metadata, variable.data.manifest)
    store = _References(ManifestGroup(arrays), registry=registry)
    return xr.open_zarr(
        store,
        consolidated=False,
        zarr_format=3,
        decode_times=False,
        chunks=None,
        create_default_indexes=False,
    )


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _without_padding(name: Any) -> str:
    """A name without the NULs that some NetCDF3 writers pad it with."""
    return str(name).rstrip("\x00")


def _misread(probe: xr.Dataset, native: xr.Dataset, name: str, url: str) -> str:
    """Why a variable's references cannot stand for it, or an empty string if they read right.

    Raises
    ------
    EnvironmentFault
        If reading fails for a reason that lies neither in the references nor in the file.
    """
    if name not in probe.variables:
        return "xarray does not find it behind its references"
    reference, truth = probe.variables[name], native.variables[name]
    parts = _probe_parts(truth, reference.encoding.get("chunks"))
    rounded = rounding(truth)
    for part in parts:
        try:
            left = reference.isel(part).values
        except TooLong as error:  # which its native reader would unpack, too
            raise InputError(f"{url}: {name}: {error}.") from error
        except BaseException as error:
            if not is_failure(error):
                raise
            raise_fault(url, error)
            what = "lead to no bytes" if isinstance(error, BaseError) else "cannot be decoded"
            return f"its references {what}: {first_line(error)}"
        try:
            right = truth.isel(part).values
        except Exception as error:
            raise_fault(url, error)
            return f"its native reader fails: {first_line(error)}"
        if right.dtype.kind in "mM" or (right.dtype == object and left.dtype.kind in "iuf"):
            continue  # a virtual time: decoding is compared when the store is read back
        if left.shape != right.shape:
            return f"its references read as shape {left.shape}, the file as {right.shape}"
        differ = np.atleast_1d(mismatch(left, right, rounded))
        if differ.any():
            at = tuple(np.argwhere(differ)[0][: right.ndim])
            return (
                f"its references read differently from the file: {left[at]} instead of "
                f"{right[at]} at {[int(n) for n in at]}"
            )
    return ""


def _probe_parts(truth: xr.Variable, chunks: tuple[int, ...] | None) -> list[dict[str, slice]]:
    """The whole, or both ends of what is large or in many chunks, each of which takes its time."""
    if truth.ndim == 0 or not truth.size:
        return [{}]
    itemsize = truth.dtype.itemsize
    step = box_shape(truth.shape, itemsize, PROBE_LIMIT)
    if chunks is not None:  # a part of each chunk is enough, but of few of them
        few = box_shape(truth.shape, 0, 1, chunks, PROBE_CHUNKS)
        step = tuple(map(min, step, few))
    sizes = zip(truth.dims, truth.shape, step, strict=True)
    divided = [(str(dim), size, width) for dim, size, width in sizes if width < size]
    if not divided:
        return [{}]
    first = {dim: slice(0, width) for dim, size, width in divided}
    return [first, {dim: slice(size - width, size) for dim, size, width in divided}]


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
            clean = storable(value)
            attributes[key] = clean
            if isinstance(clean, str) and not isinstance(plain(value), str):
                notes.append(f"attribute {key} of {owner} stored as text: {clean!r}")
    return notes


def _check_nesting(url: str, dataset: xr.Dataset) -> None:
    """Attributes of JSON may nest deeper than what writes and compares them can follow.

    Raises
    ------
    InputError
        With what allows them.
    """
    for owner in (dataset, *dataset.variables.values()):
        for key, value in owner.attrs.items():
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


def plain(value: Any) -> Any:
    """Of Python's own types; text where HDF5 has fixed strings."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def storable(value: Any) -> Any:
    """The form in which an attribute is stored."""
    value = plain(value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return str(value)
    return value
