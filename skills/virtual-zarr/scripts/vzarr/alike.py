"""HDF5 files laid out as one that was parsed before: only what can differ between them is read.

Most archives hold thousands of files of one layout. The first is parsed and compared with a native
reader; from those that follow come the places of their chunks, the coordinates along which they
lie, and their attributes, by h5py alone. Whatever else differs sends a file to the whole parser.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
import xarray as xr
from h5py import h5a, h5d, h5o, h5r, h5t
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import manifest_chunk_shape

from vzarr.elsewhere import leads_elsewhere
from vzarr.find import Source
from vzarr.hdf5_raw import check_contents
from vzarr.limits import box_shape, boxes
from vzarr.native import (
    COMPACT,
    TWICE,
    VLEN_STRINGS,
    Content,
    detect_format,
    fingerprint,
)
from vzarr.parse import (
    CF_ENCODING,
    DIGESTED,
    NAMED,
    ParsedFile,
    as_stored,
    cf_encoding,
    clean_attributes,
    holds_values,
    is_virtual,
)
from vzarr.wide import name_once

DECODING = frozenset({*CF_ENCODING, "coordinates", "bounds", "dtype", "_Encoding"})
"""Attributes that decide what stored numbers mean, or which variables are coordinates."""
HIDDEN = frozenset(
    {
        *("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"),
        *("_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict", "_NCProperties"),
    }
)
"""Attributes by which HDF5 and netCDF-4 keep dimensions; not a variable's own."""
STRUCTURAL = (COMPACT, TWICE, VLEN_STRINGS, NAMED)
"""Reasons for a native copy that hold for all files of a layout."""
KNOWN_LIMIT = 64
"""Layouts that are remembered."""

Attributes = dict[str, tuple[Any, ...]]
"""By name: type, shape and bytes, or the value where that has no fixed length."""


@dataclass
class _Found:
    """A dataset or group as it is in a file. ``structure`` is equal for files of one layout."""

    item: h5py.Dataset | h5py.Group
    structure: tuple
    attributes: Attributes


@dataclass
class _Known:
    """A file that was parsed in full. ``values`` holds the hash of each variable that all share."""

    parsed: ParsedFile
    attributes: dict[str, Attributes]
    values: dict[str, str] = field(default_factory=dict)


class Layouts:
    """What one process knows of the files that it has parsed, for one way of parsing them."""

    def __init__(self, record_dimension: str | None) -> None:
        self.record_dimension = record_dimension
        self._known: OrderedDict[tuple, list[_Known]] = OrderedDict()

    def remember(self, parsed: ParsedFile, content: Content) -> None:
        """Take a file as the pattern of others, if all that matters of it can be compared."""
        if self.record_dimension is None or parsed.file_format != "hdf5":
            return
        if content.url != parsed.source.url:  # DMR++, beside its data file
            return
        with h5py.File(content.open(), "r") as file:
            found = _walk(file)
            if found is None:
                return
            attributes = {path: item.attributes for path, item in found.items()}
            known = _Known(_own_copy(parsed), attributes)
            for group, part in {"": parsed, **parsed.children}.items():
                for name, variable in part.dataset.variables.items():
                    path = f"{group}/{name}".lstrip("/")
                    if not self._is_pattern(path, str(name), variable, part, found):
                        return
                    if not self._differs(part, str(name), variable):
                        known.values[path] = _hash(found[path].item)
            if any(
                why not in STRUCTURAL for part in _parts(parsed) for why in part.native.values()
            ):
                return
            self._known.setdefault(_structure(found), []).append(known)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)

    def parse(self, source: Source, content: Content) -> ParsedFile | None:
        """A file like one that is known; None if there is none, or if it differs in what matters.

        Raises
        ------
        InputError, OSError
            If the file cannot be read.
        """
        if not self._known or detect_format(content) != "hdf5":
            return None
        with h5py.File(content.open(), "r") as file:
            found = _walk(file)
            if found is None:
                return None
            for known in self._known.get(_structure(found), ()):
                if parsed := self._parse_like(known, source, content, found):
                    return parsed
        return None

    def _differs(self, part: ParsedFile, name: str, variable: xr.Variable) -> bool:
        """Whether a variable may have other values in each file."""
        if self.record_dimension in variable.dims or name == self.record_dimension:
            return True
        return is_virtual(variable) and name not in part.digests

    def _is_pattern(
        self,
        path: str,
        name: str,
        variable: xr.Variable,
        part: ParsedFile,
        found: dict[str, _Found],
    ) -> bool:
        dataset = found[path].item if path in found else None
        if not isinstance(dataset, h5py.Dataset) or dataset.shape != variable.shape:
            return False
        if is_virtual(variable):
            chunks = dataset.chunks or tuple(max(1, size) for size in dataset.shape)
            same_chunks = manifest_chunk_shape(variable.data.metadata) == chunks
            return dataset.dtype.kind in "iuf" and same_chunks and not holds_values(variable)
        if not self._differs(part, name, variable):
            return True
        return dataset.dtype.kind in "iuf" and "coordinates" not in found[path].attributes

    def _parse_like(
        self, known: _Known, source: Source, content: Content, found: dict[str, _Found]
    ) -> ParsedFile | None:
        parts = {}
        for group, part in {"": known.parsed, **known.parsed.children}.items():
            like = self._part_like(known, group, part, source, found)
            if like is None:
                return None
            parts[group] = like
        parsed = parts.pop("")
        parsed.children = parts
        parsed.data_url = content.url
        parsed.fingerprint = fingerprint(content, source.size)
        parsed.notes = list(dict.fromkeys(parsed.notes))
        return parsed

    def _part_like(
        self,
        known: _Known,
        group: str,
        part: ParsedFile,
        source: Source,
        found: dict[str, _Found],
    ) -> ParsedFile | None:
        prefix = f"{group}/" if group else ""
        here = _attributes_like(
            found[group].attributes, known.attributes[group], part.dataset.attrs, {"coordinates"}
        )
        if here is None:
            return None
        variables: dict[str, xr.Variable] = {}
        raw: dict[str, xr.Variable] = {}
        for name, pattern in part.dataset.variables.items():
            path = prefix + str(name)
            item = found[path]
            theirs = known.attributes[path]
            if self._differs(part, str(name), pattern) and not is_virtual(pattern):
                attributes = _native_attributes(item.attributes)
                if attributes is None:
                    return None
                check_contents(item.item, source.url)
                raw[str(name)] = xr.Variable(pattern.dims, item.item[...], attributes)
                continue
            attributes = _attributes_like(item.attributes, theirs, pattern.attrs, DECODING)
            if attributes is None:
                return None
            if is_virtual(pattern):
                manifest = _manifest(item.item, pattern.data, source)
                if manifest is None:
                    return None
                data = ManifestArray(pattern.data.metadata, manifest)
                variables[str(name)] = xr.Variable(pattern.dims, data, attributes)
            if path in known.values:
                check_contents(item.item, source.url)
                if _hash(item.item) != known.values[path]:
                    return None
                if not is_virtual(pattern):
                    variables[str(name)] = pattern.copy(deep=False)
                    variables[str(name)].attrs = attributes
        packing = dict(part.packing)
        decoded = _decode(raw)
        if decoded is None:
            return None
        for name, variable in decoded.items():
            packing[name] = cf_encoding(variable)
            variables[name] = as_stored(variable)
        dataset = part.dataset.assign(
            {name: variables[str(name)] for name in part.dataset.variables}
        )
        dataset.attrs = here
        like = replace(_own_copy(part), source=source, dataset=dataset, packing=packing)
        like.children = {}
        like.notes = [*part.notes, *clean_attributes(dataset)]
        return like


def _parts(parsed: ParsedFile) -> Iterator[ParsedFile]:
    yield parsed
    yield from parsed.children.values()


def _own_copy(parsed: ParsedFile) -> ParsedFile:
    """What combining changes in a parsed file is not shared with others."""
    return replace(
        parsed,
        dataset=parsed.dataset.copy(deep=False),
        native=dict(parsed.native),
        dropped=dict(parsed.dropped),
        digests=dict(parsed.digests),
        children={path: _own_copy(part) for path, part in parsed.children.items()},
    )


def _structure(found: dict[str, _Found]) -> tuple:
    return tuple((path, item.structure) for path, item in found.items())


def _walk(file: h5py.File) -> dict[str, _Found] | None:
    """All groups and datasets by path; None for a file that only the parser itself can judge."""
    if file.userblock_size:
        return None
    found: dict[str, _Found] = {}
    seen = {h5o.get_info(file.id).addr}

    def visit(group: h5py.Group, path: str) -> bool:
        attributes = _attributes(group)
        if attributes is None:
            return False
        found[path] = _Found(group, (), attributes)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return False
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen:
                return False
            seen.add(address)
            below = f"{path}/{name}".lstrip("/")
            if isinstance(item, h5py.Group):
                if not visit(item, below):
                    return False
            elif isinstance(item, h5py.Dataset):
                attributes = _attributes(item)
                if attributes is None or leads_elsewhere(item):
                    return False
                found[below] = _Found(item, _storage(item), attributes)
            else:
                return False
        return True

    return found if visit(file, "") else None


def _storage(dataset: h5py.Dataset) -> tuple:
    """Type, shape, chunks, filters, fill value and dimensions; not where its bytes are."""
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    space = dataset.id.get_space()
    simple = space.get_simple_extent_type() == h5py.h5s.SIMPLE
    fill = None
    if plan.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED and dataset.dtype.kind != "O":
        value = np.zeros((), dataset.dtype)
        plan.get_fill_value(value)
        fill = value.tobytes()
    return (
        dataset.id.get_type().encode(),
        dataset.shape,
        space.get_simple_extent_dims(True) if simple else None,
        layout,
        plan.get_chunk() if layout == h5d.CHUNKED else plan.get_external_count(),
        tuple(plan.get_filter(number) for number in range(plan.get_nfilters())),
        fill,
        plan.get_fill_time(),
        dataset.id.get_storage_size() > 0,
        _dimensions(dataset),
    )


def _dimensions(dataset: h5py.Dataset) -> tuple:
    """Names of the scales of each axis, and the dataset's own role among them."""
    roles = tuple(
        _value(dataset, name)
        for name in (b"CLASS", b"NAME", b"_Netcdf4Dimid", b"_Netcdf4Coordinates")
    )
    if not h5a.exists(dataset.id, b"DIMENSION_LIST"):
        return roles
    scales = tuple(
        tuple(name_once(h5r.dereference(reference, dataset.id)) for reference in axis)
        for axis in dataset.attrs["DIMENSION_LIST"]
    )
    return (*roles, scales)


def _value(item: h5py.Dataset | h5py.Group, name: bytes) -> tuple | None:
    return _attribute(item, h5a.open(item.id, name)) if h5a.exists(item.id, name) else None


def _attributes(item: h5py.Dataset | h5py.Group) -> Attributes | None:
    """Those of a variable's own; None if one is of a type that is not compared here."""
    found = {}
    for number in range(h5a.get_num_attrs(item.id)):
        opened = h5a.open(item.id, index=number)
        name = opened.name.decode("utf-8", "surrogateescape")
        if name in HIDDEN:
            continue
        value = _attribute(item, opened)
        if value is None:
            return None
        found[name] = value
    return found


def _attribute(item: h5py.Dataset | h5py.Group, opened: h5a.AttrID) -> tuple | None:
    stored = opened.get_type()
    kind = stored.get_class()
    if kind in (h5t.INTEGER, h5t.FLOAT) or (kind == h5t.STRING and not stored.is_variable_str()):
        if opened.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            return None
        value = np.empty(opened.shape, opened.dtype)
        opened.read(value)
        return str(value.dtype), value.shape, value.tobytes()
    if kind == h5t.STRING:
        value = item.attrs[opened.name]
        return ("text", (), value) if isinstance(value, str) else None
    return None


def _plain(stored: tuple) -> Any:
    """An attribute's value as the parser gives it; None if that is not plain here."""
    kind, shape, data = stored
    if kind == "text":
        return data
    value = np.frombuffer(data, np.dtype(kind)).reshape(shape)
    if value.dtype.kind == "S":
        return (value.item().decode("utf-8") or " ") if shape == () else None
    return value.reshape(-1)[0].item() if value.size == 1 else value.tolist()


def _attributes_like(
    mine: Attributes, theirs: Attributes, converted: dict[str, Any], decoding: frozenset | set
) -> dict[str, Any] | None:
    """``converted`` with what differs in this file; None if that changes how it is decoded."""
    if {name for name in mine if name in decoding} != {name for name in theirs if name in decoding}:
        return None
    if mine == theirs:
        return dict(converted)
    changed = {}
    for name, stored in mine.items():
        if theirs.get(name) == stored:
            continue
        value = None if name in decoding else _plain(stored)
        if value is None:
            return None
        changed[name] = value
    # In the file's own order, and without what conventions keep elsewhere.
    names = [name for name in mine if name in converted or name in changed]
    rest = [name for name in converted if name not in mine and name not in theirs]
    return {name: changed.get(name, converted.get(name)) for name in [*names, *rest]}


def _native_attributes(stored: Attributes) -> dict[str, Any] | None:
    """As xarray reads them, to decode a variable by."""
    found = {}
    for name, (kind, shape, data) in stored.items():
        if kind == "text":
            found[name] = data
            continue
        value = np.frombuffer(data, np.dtype(kind)).reshape(shape)
        if value.dtype.kind == "S":
            if shape != ():
                return None
            found[name] = value.item().decode("utf-8")
        else:
            found[name] = value.reshape(-1)[0] if value.size == 1 else value
    return found


def _decode(raw: dict[str, xr.Variable]) -> dict[str, xr.Variable] | None:
    if not raw:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            decoded = xr.decode_cf(xr.Dataset(raw))
        except (ValueError, OverflowError):
            return None
        return {name: decoded[name].variable.load() for name in raw}


def _hash(dataset: h5py.Dataset) -> str:
    if dataset.dtype.hasobject:
        return hashlib.sha256(repr(dataset[...].tolist()).encode()).hexdigest()
    found = hashlib.sha256()
    for box in boxes(dataset.shape, box_shape(dataset.shape, dataset.dtype.itemsize, DIGESTED)):
        found.update(dataset[box].tobytes())
    return found.hexdigest()


def _manifest(
    dataset: h5py.Dataset, pattern: ManifestArray, source: Source
) -> ChunkManifest | None:
    """Where the chunks of a dataset lie; None if one skips a filter or lies beyond the file."""
    if dataset.size == 0 or not dataset.id.get_storage_size():
        return pattern.manifest
    if dataset.chunks is None:
        grid = (1,) * dataset.ndim
        offsets = np.full(grid, dataset.id.get_offset(), np.uint64)
        lengths = np.full(grid, dataset.id.get_storage_size(), np.uint64)
        if int(offsets.max()) + int(lengths.max()) > source.size:
            return None
        paths = np.full(grid, source.url, np.dtypes.StringDType())
        return ChunkManifest.from_arrays(paths=paths, offsets=offsets, lengths=lengths)
    stored: list[Any] = []
    dataset.id.chunk_iter(stored.append)
    grid = tuple(
        -(-size // chunk) for size, chunk in zip(dataset.shape, dataset.chunks, strict=True)
    )
    if any(chunk.filter_mask for chunk in stored):
        return None
    whole = len(stored) == np.prod(grid, dtype=int)
    if not whole and dataset.id.get_create_plist().get_fill_time() == h5d.FILL_TIME_NEVER:
        return None  # what was never written reads differently in each reader
    places = np.array([chunk.chunk_offset for chunk in stored], dtype=np.int64)
    index = tuple((places // np.array(dataset.chunks)).T)
    offsets, lengths = np.zeros(grid, np.uint64), np.zeros(grid, np.uint64)
    offsets[index] = [chunk.byte_offset for chunk in stored]
    lengths[index] = [chunk.size for chunk in stored]
    if int((offsets + lengths).max()) > source.size:
        return None
    if whole:
        paths = np.full(grid, source.url, np.dtypes.StringDType())
    else:
        paths = np.full(grid, "", np.dtypes.StringDType())
        paths[index] = source.url
    return ChunkManifest.from_arrays(paths=paths, offsets=offsets, lengths=lengths)
