"""ENVI: a raw file and the text beside it that says what it holds; VirtualiZarr's parser.

The image is called ``image``, its axes are in the file's order. Coordinates come from the header.
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.exceptions import BaseError
from obstore.store import MemoryStore
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import ENVIParser

from vzarr.errors import InputError
from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.limits import Declared, check_number, limit
from vzarr.sources.content import Content
from vzarr.sources.schemes import object_store
from vzarr.upstream.virtualizarr import group_of

NAME = "image"


AXES = {"bsq": ("band", "y", "x"), "bil": ("y", "band", "x"), "bip": ("y", "x", "band")}


SIZES = {"band": "bands", "y": "lines", "x": "samples"}


TYPES = {
    1: "u1",
    2: "i2",
    3: "i4",
    4: "f4",
    5: "f8",
    6: "c8",
    9: "c16",
    12: "u2",
    13: "u4",
    14: "i8",
    15: "u8",
}
"""Codes of ``data type`` in https://www.nv5geospatialsoftware.com/docs/ENVIHeaderFiles.html"""


@dataclass(frozen=True)
class Header:
    """The text of a header, and where it lies."""

    url: str
    fields: dict[str, str]


def find_header(content: Content) -> Header | None:
    """The header beside a raw file (``scene.img.hdr`` or ``scene.hdr``), if there is one."""
    return content.once(_find_header)


def _find_header(content: Content) -> Header | None:
    folder, _, name = content.url.rpartition("/")
    names = dict.fromkeys([f"{name}.hdr", f"{Path(name).stem}.hdr"])
    headers = (_read_header(f"{folder}/{name}", content) for name in names)
    return next((header for header in headers if header), None)


def _read_header(url: str, content: Content) -> Header | None:
    store, path = object_store(url, content.access)
    most = limit("header")
    try:
        answer = obstore.get(store, path, options={"range": (0, most + 1)})
        text = bytes(answer.bytes()).decode("utf-8", "replace")
    except (OSError, BaseError):  # asked for on suspicion: some servers refuse what is not there
        return None
    if not text.startswith("ENVI"):
        return None
    check_number(url, "header", answer.meta["size"], "bytes of its header:")
    return Header(url, parse_header(text))


def parse_header(text: str) -> dict[str, str]:
    """Fields of a header, their names in small letters; ``{…}`` may go over several lines.

    Each character is looked at once or twice: headers of others may be long and never close.
    """
    fields: dict[str, str] = {}
    last_close = text.rfind("}")
    at = 0
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        name, sign, value = text[at:end].partition("=")
        at = end + 1
        if not sign or ";" in name or not name.strip():
            continue
        begin = _behind_space(text, end - len(value))
        if begin < last_close and text[begin] == "{":
            close = text.index("}", begin)
            value = text[begin : close + 1]
            end = text.find("\n", close)
            at = len(text) if end < 0 else end + 1
        fields[name.strip().lower()] = value.strip()
    return fields


def _behind_space(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def list_groups(content: Content) -> list[str]:
    """The root: there are no others."""
    return [""]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """The image, and coordinates of a map that is not rotated.

    Raises
    ------
    InputError
        For a file that is shorter than its header says, or of a kind that cannot be virtual.
    """
    header = find_header(content)
    assert header is not None, "sniff found it"
    fields = header.fields
    dtype, shape, dims = _layout(header)
    start = _number(header, "header offset", 0)
    compressed = _number(header, "file compression", 0) == 1
    needed = math.prod(shape) * dtype.itemsize
    declared = [Declared(NAME, shape, dtype.itemsize, unpacked=needed * compressed)]
    declared += [
        Declared(dim, (size,), 8, is_loaded=True)
        for dim, size in zip(dims, shape, strict=True)
        if dim in "xy" and "map info" in fields
    ]
    check_arrays(content, group, declared, drop)
    whole = _unpack(content, start, needed) if compressed else None
    size = len(whole) if whole is not None else _size(content) - start
    if size < needed:
        raise InputError(
            f"{content.url}: {header.url} says {needed} bytes, the file has {size}: fetch it again."
        )

    def read(key: tuple) -> np.ndarray:
        if whole is not None:
            values = np.frombuffer(whole, dtype, math.prod(shape)).reshape(shape)
        elif isinstance(content.handle, Path):
            values = np.memmap(content.handle, dtype, "r", start, shape)
        else:
            return _read_outer(content, dtype, shape, start, key)
        return np.asarray(values[key]).astype(dtype.newbyteorder("="))

    attributes: dict[str, Any] = {}
    if "data ignore value" in fields and dtype.kind in "iuf":
        attributes["_FillValue"] = np.asarray(float(fields["data ignore value"])).astype(dtype)[()]
    image = lazy_variable(dims, shape, dtype.newbyteorder("="), read, attributes)
    content.findings.reasons["wavelength"] = "from the header"
    coordinates = _coordinates(fields, dict(zip(dims, shape, strict=True)))
    raw = xr.Dataset({NAME: image}, {k: v for k, v in coordinates.items() if k not in drop})
    return decode(raw, drop, decode_times)


def _unpack(content: Content, start: int, needed: int) -> bytes:
    """As many bytes of a compressed file as its header declares, however many it would give."""
    with gzip.open(io.BytesIO(memoryview(content.read())[start:])) as file:
        data = file.read(needed)
        if file.read(1):  # a reader through the reference would have to unpack all of it
            content.findings.no_references = "the file unpacks to more bytes than its header says"
    return data


def _read_outer(
    content: Content, dtype: np.dtype, shape: tuple[int, ...], start: int, key: tuple
) -> np.ndarray:
    """Whole bands or lines are read, as few as ``key`` needs."""
    outer = key[0]
    first, stop, _ = outer.indices(shape[0]) if isinstance(outer, slice) else (outer, outer + 1, 1)
    row = math.prod(shape[1:]) * dtype.itemsize
    with content.opened() as file:
        file.seek(start + first * row)
        data = file.read((stop - first) * row)
    values = np.frombuffer(data, dtype).reshape((stop - first, *shape[1:]))
    inner = slice(None, None, outer.step) if isinstance(outer, slice) else 0
    return values[(inner, *key[1:])].astype(dtype.newbyteorder("="))


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """As VirtualiZarr's parser makes it of the header.

    Raises
    ------
    ValueError
        For a file that unpacks to more than its header says.
    """
    if NAME in drop:
        return ManifestGroup()
    header = find_header(content)
    assert header is not None, "sniff found it"
    if content.findings.no_references:
        raise ValueError(content.findings.no_references)
    store, path = registry.resolve(header.url)
    if isinstance(store, MemoryStore):  # holds the data file only
        origin, _ = object_store(header.url, content.access)
        obstore.put(store, path, bytes(obstore.get(origin, path).bytes()))
    parsed = group_of(ENVIParser(header_url=header.url)(url=url, registry=registry))
    return ManifestGroup({NAME: next(iter(parsed.arrays.values()))})


def _layout(header: Header) -> tuple[np.dtype, tuple[int, ...], tuple[str, ...]]:
    fields = header.fields
    kind = fields.get("file type", "ENVI Standard")
    if kind.lower() != "envi standard" or {"major frame offsets", "minor frame offsets"} & set(
        fields
    ):
        raise InputError(
            f"{header.url}: ENVI of the type {kind!r}, or with frame offsets: only plain ENVI "
            "Standard can be virtual; convert it (gdal_translate -of COG)."
        )
    code = _number(header, "data type")
    dims = AXES.get(fields.get("interleave", "").lower())
    if code not in TYPES or dims is None:
        raise InputError(
            f"{header.url}: data type {code} with interleave {fields.get('interleave')!r} is not "
            "known: correct the header."
        )
    order = ">" if _number(header, "byte order", 0) else "<"
    shape = tuple(_number(header, SIZES[dim]) for dim in dims)
    return np.dtype(order + TYPES[code]), shape, dims


def _number(header: Header, name: str, default: int | None = None) -> int:
    text = header.fields.get(name, None if default is None else str(default))
    try:
        number = int(text or "")
    except ValueError:
        raise InputError(f"{header.url}: {name} is {text!r}, not a number.") from None
    if number < 0:
        raise InputError(f"{header.url}: {name} is {number}, which counts nothing.")
    return number


def _size(content: Content) -> int:
    with content.opened() as file:
        return file.seek(0, 2)


def _coordinates(fields: dict[str, str], sizes: dict[str, int]) -> dict[str, xr.Variable]:
    """Centres of the pixels where the map is not rotated; wavelengths of the bands."""
    coordinates = {}
    waves = _list(fields.get("wavelength", ""))
    if len(waves) == sizes["band"]:
        units = fields.get("wavelength units")
        coordinates["wavelength"] = xr.Variable(
            "band", np.array(waves, float), {"units": units} if units else {}
        )
    place = _list(fields.get("map info", ""))
    rotated = [part for part in place if part.replace(" ", "").lower().startswith("rotation=")]
    if len(place) >= 7 and all(float(part.partition("=")[2]) == 0 for part in rotated):
        column, row, x, y, width, height = (float(part) for part in place[1:7])
        # The reference pixel counts from 1 at the outer corner of the first one.
        coordinates["x"] = xr.Variable("x", x + (np.arange(sizes["x"]) + 1.5 - column) * width)
        coordinates["y"] = xr.Variable("y", y - (np.arange(sizes["y"]) + 1.5 - row) * height)
    return coordinates


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.strip("{} \n").split(",") if part.strip()]
