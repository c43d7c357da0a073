"""HDF4: scientific datasets by pyhdf and by VirtualiZarr's parser, which is kerchunk's.

Each table (Vdata) is a group of native columns below ``vdata``. Raster images are not read: no
reader here knows them, and a note names how many there are.
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup

from vzarr.errors import InputError, first_line, raise_fault
from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.formats.hdf4.isolated import Reader
from vzarr.limits import Declared
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import check_hdf4
from vzarr.upstream import kerchunk_hdf4

TABLES = "vdata"


LINKED, CHUNKED, SPECIAL = 1, 5, 0x4000
"""Codes of elements that are kept in pieces, and the bit of a tag that says that a code follows."""


LINK = 20
"""Tag of the lists of an element's pieces."""


RANK = 32
"""Dimensions that HDF4 allows."""


INTERNAL = (
    *("Attr0.0", "Var0.0", "Dim0.0", "DimVal", "UDim0.0", "CDF0.0", "CoordVar", "SDSVar"),
    *("RI0.0", "RIG0.0", "RIATTR", "_HDF_CHK_TBL"),
)
"""How the classes of tables begin in which HDF4 keeps its own affairs."""


RASTER = {202, 302, 306}
"""Tags of raster images: RI8, RI and RIG."""


_pyhdf = Reader("vzarr.formats.hdf4.reader", "HDF4")


def list_groups(content: Content) -> list[str]:
    """The root, which has the scientific datasets, and a group for each table.

    Raises
    ------
    InputError
        For a damaged file, and for one with data in other files that may not be read.
    """
    with _local(content) as path:
        tags = [tag for tag, *_ in content.once(_structure, path)]
        tables = _tables(path)
    images = tags.count(306) or sum(tag in RASTER for tag in tags)
    if images:
        note = f"{images} raster images that no reader here knows (hdp dumpgr, gdal_translate)"
        content.findings.notes.append(f"left out: {note}")
        content.findings.instead = note
    return ["", *tables]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """The scientific datasets, or the columns of one table."""
    with ExitStack() as stack:
        path = stack.enter_context(_local(content))
        content.once(_structure, path)
        if group:
            raw = xr.Dataset(_columns(content, path, group, drop))
        else:
            raw = _open_datasets(content, path, drop)
        decoded = decode(raw, drop, decode_times)
        decoded.set_close(stack.pop_all().close)
    return decoded


def _open_datasets(content: Content, path: Path, drop: Sequence[str]) -> xr.Dataset:
    datasets, attributes = _pyhdf.call("datasets", path)
    by_name: dict[str, tuple[int, dict[str, Any]]] = {}
    for index, item in enumerate(datasets):
        name = item["name"]
        if name in by_name:  # a name that comes again gets the index behind it
            name = f"{name}_{index}"
            content.findings.reasons[name] = "another dataset has the same name"
        by_name[name] = index, item
    declared = [
        Declared(
            name,
            item["shape"],
            np.dtype(item["dtype"]).itemsize,
            is_loaded=item["dims"] == (name,),
        )
        for name, (_, item) in by_name.items()
    ]
    check_arrays(content, "", declared, drop)
    variables = {
        name: _variable(path, index, item)
        for name, (index, item) in by_name.items()
        if name not in drop
    }
    return xr.Dataset(_own_lengths(variables), attrs=attributes)


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """As VirtualiZarr's ``HDF4Parser`` makes it, which makes room for chunks that are not there.

    Raises
    ------
    Refused
        If the arrays declare more than is allowed.
    """
    if group:
        return ManifestGroup()
    decoded, attributes = kerchunk_hdf4.decode(url)
    for name, value in list(decoded.items()):
        if isinstance(value, dict):
            continue
        del decoded[name]
        if not name.startswith(kerchunk_hdf4.METADATA_PREFIXES):
            attributes[name] = value.tolist() if isinstance(value, np.generic) else value
    wanted = {name: variable for name, variable in decoded.items() if name not in drop}
    # An HDF4 group in a group is no array: the native reader has its datasets, if it has any.
    wanted = {name: variable for name, variable in wanted.items() if "dims" in variable}
    check_arrays(content, "", [_chunks_of(name, decoded) for name, decoded in wanted.items()])
    place = Path.cwd().as_uri()
    arrays = {}
    for name, variable in wanted.items():
        try:
            arrays[name] = kerchunk_hdf4.array_of(name, variable, url, place)
        except Exception as error:  # of one variable, and no word of the others
            raise_fault(url, error)
            content.findings.reasons[name] = f"the parser fails on it: {first_line(error)}"
    return ManifestGroup(arrays=arrays, attributes=attributes)


def _chunks_of(name: str, variable: dict[str, Any]) -> Declared:
    shape, stored = tuple(variable["dims"]), len(variable.get("refs", ()))
    chunk = tuple(variable.get("chunks", shape))
    size = np.dtype(variable["dtype"]).itemsize
    return Declared(
        name, shape, size, chunk, stored, unpacked=math.prod(chunk) * size * (stored > 1)
    )


@contextmanager
def _local(content: Content) -> Iterator[Path]:
    """A path, which is all that the C library takes."""
    if isinstance(content.handle, Path):
        check_hdf4(content, content.handle)
        yield content.handle
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.hdf")
        path.write_bytes(content.read())
        check_hdf4(content, path)
        yield path


def _variable(path: Path, index: int, item: dict[str, Any]) -> xr.Variable:
    shape, dtype = item["shape"], item["dtype"]

    def read(key: tuple) -> np.ndarray:
        ranges = [
            range(*part.indices(size)) if isinstance(part, slice) else range(part, part + 1)
            for part, size in zip(key, shape, strict=True)
        ]
        start = [min(wanted, default=0) for wanted in ranges]
        stop = [max(wanted, default=-1) + 1 for wanted in ranges]
        count = [max(0, last - first) for first, last in zip(start, stop, strict=True)]
        values = _pyhdf.call("read", path, index, start, count, dtype)
        inner = (
            slice(None, None, wanted.step) if isinstance(part, slice) else 0
            for part, wanted in zip(key, ranges, strict=True)
        )
        return values[tuple(inner)]

    return lazy_variable(item["dims"], shape, np.dtype(dtype), read, item["attributes"])


def _tables(path: Path) -> dict[str, int]:
    """The reference number of each table that a user made, by its group."""
    references: dict[str, int] = {}
    for name, kind, reference, records, fields in _pyhdf.call("tables", path):
        if not records or not fields or kind.startswith(INTERNAL):
            continue
        group = f"{TABLES}/{name.replace('/', '_').strip() or reference}"
        references[f"{group}_{reference}" if group in references else group] = reference
    return references


def _columns(
    content: Content, path: Path, group: str, drop: Sequence[str]
) -> dict[str, xr.Variable]:
    variables = {}
    for name, order, values in _pyhdf.call("columns", path, _tables(path)[group]):
        dims = ("row",) if values.ndim == 1 else ("row", f"{name}_{order}")
        variables[name.replace("/", "_")] = xr.Variable(dims, values)
    for name in variables:
        content.findings.reasons[f"{group}/{name}"] = "a column of an HDF4 table"
    return {name: variable for name, variable in variables.items() if name not in drop}


def _structure(content: Content, path: Path) -> list[tuple[int, int, int, int]]:
    """Tag, number, place and length of each element.

    Raises
    ------
    InputError
        If a list of the file leads back to itself, or has no end: the parser would follow it.
    """
    elements: list[tuple[int, int, int, int]] = []
    try:
        with path.open("rb") as file:
            elements = _elements(file)
            problem = _endless(file, elements)
    except _Endless as error:
        problem = str(error)
    except struct.error:
        problem = "a list of its elements goes beyond its end"
    if problem:
        raise InputError(f"{content.url}: {problem}: the file is damaged; fetch it again.")
    return elements


class _Endless(Exception):
    pass


def _elements(file: BinaryIO) -> list[tuple[int, int, int, int]]:
    elements: list[tuple[int, int, int, int]] = []
    seen: set[int] = set()
    at = 4
    while at:
        if at in seen:
            raise _Endless("its list of elements leads back to itself")
        seen.add(at)
        file.seek(at)
        count, at = struct.unpack(">HI", file.read(6))
        elements += struct.iter_unpack(">HHII", file.read(12 * count))
    return elements


def _endless(file: BinaryIO, elements: list[tuple[int, int, int, int]]) -> str:
    """What is wrong with elements that are kept in pieces, or an empty string."""
    lists = {number: at for tag, number, at, _ in elements if tag & ~SPECIAL == LINK}
    for tag, _, at, _ in elements:
        if not tag & SPECIAL or tag & 0x8000:
            continue
        file.seek(at)
        head = file.read(35)
        if len(head) < 2:
            return "an element lies beyond its end"
        (code,) = struct.unpack_from(">H", head)
        if code == CHUNKED and not 1 <= struct.unpack_from(">I", head, 31)[0] <= RANK:
            return f"an element has {struct.unpack_from('>I', head, 31)[0]} dimensions"
        (following,) = struct.unpack_from(">H", head, 14) if code == LINKED else (0,)
        seen: set[int] = set()
        while following:
            if following in seen or following not in lists:
                return "the pieces of an element lead nowhere"
            seen.add(following)
            file.seek(lists[following])
            (following,) = struct.unpack(">H", file.read(2))
    return ""


def _own_lengths(variables: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """HDF4 allows one name for dimensions of several lengths; the later ones get the length."""
    lengths: dict[Hashable, int] = {}
    for variable in variables.values():
        dims = []
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            known = lengths.setdefault(dim, size)
            dims.append(dim if known == size else f"{dim}_{size}")
        variable.dims = tuple(dims)
    return variables
