"""HDF5 files laid out as one that was parsed before: only what can differ between them is read.

Most archives hold thousands of files of one layout. The first is parsed and compared with a native
reader; from those that follow come the places of their chunks, the coordinates along which they
lie, and their attributes, by h5py alone. Whatever else differs sends a file to the whole parser.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import h5py
import numpy as np
import xarray as xr
from h5py import h5d
from virtualizarr.manifests import ChunkManifest, ManifestArray

from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.reader import check_contents
from vzarr.sources.content import Content
from vzarr.sources.discover import Source
from vzarr.sources.fingerprint import fingerprint
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.virtualize.assemble import as_stored
from vzarr.virtualize.attributes import clean_attributes
from vzarr.virtualize.model import ParsedFile, cf_encoding, holds_values, is_virtual
from vzarr.virtualize.structure import (
    DECODING,
    Attributes,
    Item,
    decoded_attribute,
    hash_of,
    structure_of,
    walk_items,
)

KNOWN_LIMIT = 64
"""Layouts that are remembered."""


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
            items = walk_items(file)
            if items is None:
                return
            attributes = {path: item.attributes for path, item in items.items()}
            known = _Known(_own_copy(parsed), attributes)
            for group, part in {"": parsed, **parsed.children}.items():
                for name, variable in part.dataset.variables.items():
                    path = f"{group}/{name}".lstrip("/")
                    if not self._is_pattern(path, str(name), variable, part, items):
                        return
                    if not self._differs(part, str(name), variable):
                        known.values[path] = hash_of(items[path].item)
            reasons = [reason for part in _parts(parsed) for reason in part.native.values()]
            if not all(reason.is_of_layout for reason in reasons):
                return
            self._known.setdefault(structure_of(items), []).append(known)
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
            items = walk_items(file)
            if items is None:
                return None
            for known in self._known.get(structure_of(items), ()):
                if parsed := self._parse_like(known, source, content, items):
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
        items: dict[str, Item],
    ) -> bool:
        dataset = items[path].item if path in items else None
        if not isinstance(dataset, h5py.Dataset) or dataset.shape != variable.shape:
            return False
        if is_virtual(variable):
            chunks = dataset.chunks or tuple(max(1, size) for size in dataset.shape)
            same_chunks = manifest_chunk_shape(variable.data.metadata) == chunks
            return dataset.dtype.kind in "iuf" and same_chunks and not holds_values(variable)
        if not self._differs(part, name, variable):
            return True
        return dataset.dtype.kind in "iuf" and "coordinates" not in items[path].attributes

    def _parse_like(
        self, known: _Known, source: Source, content: Content, items: dict[str, Item]
    ) -> ParsedFile | None:
        parts = {}
        for group, part in {"": known.parsed, **known.parsed.children}.items():
            like = self._part_like(known, group, part, source, items)
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
        items: dict[str, Item],
    ) -> ParsedFile | None:
        prefix = f"{group}/" if group else ""
        here = _attributes_like(
            items[group].attributes, known.attributes[group], part.dataset.attrs, {"coordinates"}
        )
        if here is None:
            return None
        variables: dict[str, xr.Variable] = {}
        raw: dict[str, xr.Variable] = {}
        for name, pattern in part.dataset.variables.items():
            path = prefix + str(name)
            if self._differs(part, str(name), pattern) and not is_virtual(pattern):
                like, into = _raw_like(items[path], pattern, source), raw
            else:
                like, into = _stored_like(known, path, items[path], pattern, source), variables
            if like is None:
                return None
            into[str(name)] = like
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
        parsed = replace(_own_copy(part), source=source, dataset=dataset, packing=packing)
        parsed.children = {}
        parsed.notes = [*part.notes, *clean_attributes(dataset)]
        return parsed


def _raw_like(item: Item, pattern: xr.Variable, source: Source) -> xr.Variable | None:
    """A loaded variable that differs from file to file, as it is stored."""
    attributes = _native_attributes(item.attributes)
    if attributes is None:
        return None
    check_contents(item.item, source.url)
    return xr.Variable(pattern.dims, item.item[...], attributes)


def _stored_like(
    known: _Known, path: str, item: Item, pattern: xr.Variable, source: Source
) -> xr.Variable | None:
    """A virtual variable, or one that all files share; None if it differs in what matters."""
    attributes = _attributes_like(item.attributes, known.attributes[path], pattern.attrs, DECODING)
    if attributes is None:
        return None
    if path in known.values:
        check_contents(item.item, source.url)
        if hash_of(item.item) != known.values[path]:
            return None
    if not is_virtual(pattern):
        shared = pattern.copy(deep=False)
        shared.attrs = attributes
        return shared
    manifest = _manifest(item.item, pattern.data, source)
    if manifest is None:
        return None
    data = ManifestArray(pattern.data.metadata, manifest)
    return xr.Variable(pattern.dims, data, attributes)


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
        scalars=dict(parsed.scalars),
        children={path: _own_copy(part) for path, part in parsed.children.items()},
    )


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
        value = None if name in decoding else decoded_attribute(stored)
        if value is None:
            return None
        changed[name] = value
    # In the file's own order, and without what conventions keep elsewhere.
    names = [name for name in mine if name in converted or name in changed]
    rest = [name for name in converted if name not in mine and name not in theirs]
    return {name: changed.get(name, converted.get(name)) for name in [*names, *rest]}


def _native_attributes(stored: Attributes) -> dict[str, Any] | None:
    """As xarray reads them, to decode a variable by."""
    attributes = {}
    for name, (kind, shape, data) in stored.items():
        if kind == "text":
            attributes[name] = data
            continue
        value = np.frombuffer(data, np.dtype(kind)).reshape(shape)
        if value.dtype.kind == "S":
            if shape != ():
                return None
            attributes[name] = bytes(value[()]).decode("utf-8")
        else:
            attributes[name] = value.reshape(-1)[0] if value.size == 1 else value
    return attributes


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
