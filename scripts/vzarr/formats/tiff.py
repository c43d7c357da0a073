"""TIFF, GeoTIFF and COG: full images by tifffile and by virtual-tiff, coordinates from the tags."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import tifffile
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestArray, ManifestGroup

from vzarr.errors import InputError
from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.formats.tiff_pieces import pieces_of
from vzarr.limits import Declared
from vzarr.sources.content import Content
from vzarr.upstream.virtual_tiff import image_attributes, parse_image
from vzarr.upstream.virtualizarr import copy_and_replace_metadata

REDUCED, MASK = 1, 4


SIDES = ("imagewidth", "imagelength")


RATIO = 5000
"""Bytes of pixels for each byte of a file, beyond which no compression of TIFF gets."""


JPEG = {6, 7, 33007, 34892}
"""Compressions whose tables may be kept once for all pieces."""


TYPE_SIZES = {**dict.fromkeys((1, 2, 6, 7), 1), **dict.fromkeys((3, 8), 2)}


TYPE_SIZES |= {**dict.fromkeys((4, 9, 11, 13), 4), **dict.fromkeys((5, 10, 12, 16, 17, 18), 8)}


# What it says of damaged tags comes back as the error that they lead to.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def list_groups(content: Content) -> list[str]:
    """The root: there are no others."""
    return [""]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """The full images; coordinates where all have one shape and the map is not rotated.

    Raises
    ------
    InputError
        For a damaged file.
    """
    _check_directories(content)
    tiff = tifffile.TiffFile(content.open())
    pages = _images(tiff)
    for page in pages.values():
        _check_size(content, page)
    names = _names(pages)
    declared = [_declared(names[number], page) for number, page in pages.items()]
    width, length = (max(getattr(page, side) for page in pages.values()) for side in SIDES)
    declared += [Declared(dim, (n,), 8, is_loaded=True) for dim, n in (("x", width), ("y", length))]
    check_arrays(content, group, declared, drop)
    shapes = {_shape(page)[-2:] for page in pages.values()}
    notes = content.findings.notes
    variables = {}
    for number, page in pages.items():
        suffix = "" if len(shapes) == 1 else f"_{number}"
        dims = [f"y{suffix}", f"x{suffix}"]
        if len(_shape(page)) == 3:
            dims.insert(0, "band" if _same_bands(pages) else f"band_{number}")
        variables[names[number]] = _variable(page, tuple(dims))
        if note := _scaling(page):
            notes.append(f"{names[number]}: {note}")
    left = len(tiff.pages) - len(pages)
    if left:
        notes.append(f"{left} reduced images or masks left out: overviews repeat the main image")
    dataset = xr.Dataset(variables)
    first = next(iter(pages.values()))
    if len(shapes) == 1 and (coordinates := _coordinates(first)):
        wanted = {name: values for name, values in coordinates.items() if name not in drop}
        dataset = dataset.assign_coords(wanted)
    decoded = decode(dataset, drop, decode_times)
    decoded.set_close(tiff.close)
    return decoded


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """The full images, as virtual-tiff makes them; contiguous strips as one chunk."""
    arrays = {}
    with tifffile.TiffFile(content.open()) as tiff:
        pages = _images(tiff)
        for number, name in _names(pages).items():
            if name in drop:
                continue
            own = pieces_of(url, pages[number], tiff.byteorder)
            if own is None:
                arrays[name] = parse_image(url, registry, number)
            else:
                attributes = image_attributes(url, registry, number)
                metadata = copy_and_replace_metadata(own.metadata, new_attributes=attributes)
                arrays[name] = ManifestArray(metadata, own.manifest)
    return ManifestGroup(arrays)


def copied_attributes(
    url: str, registry: ObjectStoreRegistry, content: Content, name: str
) -> dict[str, Any]:
    """What references to an image would say of it: its projection, and where it lies."""
    with tifffile.TiffFile(content.open()) as tiff:
        numbers = {each: number for number, each in _names(_images(tiff)).items()}
    return image_attributes(url, registry, numbers[name]) if name in numbers else {}


def _images(tiff: tifffile.TiffFile) -> dict[int, tifffile.TiffPage]:
    pages = {number: page.aspage() for number, page in enumerate(tiff.pages)}
    return {
        number: page
        for number, page in pages.items()
        if number == 0 or not int(page.subfiletype) & (REDUCED | MASK)
    }


def _names(pages: dict[int, tifffile.TiffPage]) -> dict[int, str]:
    return {number: "image" if len(pages) == 1 else f"image_{number}" for number in pages}


def _same_bands(pages: dict[int, tifffile.TiffPage]) -> bool:
    return len({_shape(page)[0] for page in pages.values() if len(_shape(page)) == 3}) == 1


def _shape(page: tifffile.TiffPage) -> tuple[int, ...]:
    """Bands come first, as in the parser."""
    size = (page.imagelength, page.imagewidth)
    return (page.samplesperpixel, *size) if page.samplesperpixel > 1 else size


def _declared(name: str, page: tifffile.TiffPage) -> Declared:
    """What a page says of its image. A tile or strip is unpacked at once."""
    shape, itemsize = _shape(page), _dtype(page).itemsize
    piece: tuple[int, ...] = _piece(page)
    unpacked = math.prod(piece if _is_divided(page) else shape) * itemsize
    if len(shape) == 3:
        piece = (1, *piece)
        unpacked *= page.samplesperpixel if int(page.planarconfig) == 1 else 1
    unpacked *= int(page.compression) != 1
    return Declared(name, shape, itemsize, piece, unpacked=unpacked)


def _dtype(page: tifffile.TiffPage) -> np.dtype:
    assert page.dtype is not None, "_check_size refuses pixels without a type"
    return page.dtype


def _piece(page: tifffile.TiffPage) -> tuple[int, int]:
    """Rows and columns of a tile or a strip."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip or page.imagelength, page.imagelength), page.imagewidth


def _check_size(content: Content, page: tifffile.TiffPage) -> None:
    """The parser makes room for what is declared, however large, and ends the process if it cannot.

    Raises
    ------
    InputError
        For an image larger than its file can hold, or without a place for each strip or tile.
    """
    if page.dtype is None:
        raise InputError(
            f"{content.url}: pixels of {page.bitspersample} bits in sample format "
            f"{page.sampleformat}, for which there is no type: convert it (gdal_translate)."
        )
    length = page.parent.filehandle.size
    if page.nbytes > RATIO * length:
        raise InputError(
            f"{content.url}: declares an image of {page.nbytes} bytes in a file of {length}: it is "
            "damaged; fetch it again."
        )
    if math.prod(page.chunked) != len(page.dataoffsets):
        raise InputError(
            f"{content.url}: has places for {len(page.dataoffsets)} of the "
            f"{math.prod(page.chunked)} strips or tiles of its image: damaged; fetch it again."
        )


def _check_directories(content: Content) -> None:
    """Every value of every directory must lie in the file.

    Raises
    ------
    InputError
        If one does not. The Rust part of the parser would ask for as much memory as it is told.
    """
    with content.opened() as file:
        damage = _damage(file)
    if damage:
        raise InputError(f"{content.url}: {damage}: the file is damaged; fetch it again.")


def _damage(file: IO[bytes]) -> str:
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = head[2:4] in (b"+\x00", b"\x00+")
    entry, word, inline = ("HHQ8s", "Q", 8) if big else ("HHI4s", "I", 4)
    width = struct.calcsize(order + entry)
    try:
        (at,) = struct.unpack_from(order + word, head, 8 if big else 4)
        seen: set[int] = set()
        while at:
            if at in seen:
                return f"its directory at byte {at} follows itself"
            seen.add(at)
            file.seek(at)
            (count,) = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))
            if file.tell() + count * width > size:
                return f"its directory at byte {at} goes beyond its end"
            for tag, kind, number, value in struct.iter_unpack(
                order + entry, file.read(count * width)
            ):
                if kind not in TYPE_SIZES:
                    return f"tag {tag} is of a type that TIFF does not know"
                length = TYPE_SIZES[kind] * number
                if length > inline and struct.unpack(order + word, value)[0] + length > size:
                    return f"the values of tag {tag} go beyond its end"
            (at,) = struct.unpack(order + word, file.read(inline))
    except struct.error:
        return "a directory goes beyond its end"
    return ""


def _variable(page: tifffile.TiffPage, dims: tuple[str, ...]) -> xr.Variable:
    def read(key: tuple) -> np.ndarray:
        if _is_divided(page):
            pixels = _read_pieces(page, key)
        else:
            pixels = page.asarray()
            if page.samplesperpixel > 1 and int(page.planarconfig) == 1:
                pixels = np.moveaxis(pixels, -1, 0)
            pixels = pixels.reshape(_shape(page))[key]
        return pixels.astype(pixels.dtype.newbyteorder("="))

    dtype = _dtype(page)
    attributes: dict[str, Any] = {}
    nodata = page.tags.get(42113)
    if nodata is not None:
        try:
            fill = float(str(nodata.value).strip("\x00 "))
            if dtype.kind == "f" or fill == int(fill):
                attributes["_FillValue"] = dtype.type(fill)
        except (ValueError, OverflowError):
            pass
    return lazy_variable(dims, _shape(page), dtype.newbyteorder("="), read, attributes)


def _is_divided(page: tifffile.TiffPage) -> bool:
    """Whether tiles or strips can be read one by one; others are few, or as long as the file."""
    return not page.is_contiguous and page.jpegheader is None and page.imagedepth == 1


def _read_pieces(page: tifffile.TiffPage, key: tuple) -> np.ndarray:
    """What ``key`` asks for, of the tiles or strips that hold it."""
    shape = _shape(page)
    ranges = [
        range(*part.indices(size)) if isinstance(part, slice) else range(part, part + 1)
        for part, size in zip(key, shape, strict=True)
    ]
    spans = [(min(wanted, default=0), max(wanted, default=-1) + 1) for wanted in ranges]
    (top, bottom), (left, right) = spans[-2:]
    bands = spans[0] if len(shape) == 3 else (0, 1)
    rows, columns = _piece(page)
    across, down = -(-page.imagewidth // columns), -(-page.imagelength // rows)
    apart = int(page.planarconfig) == 2 and page.samplesperpixel > 1
    numbers = [
        (band * down + row) * across + column
        for band in (range(*bands) if apart else (0,))
        for row in range(top // rows, -(-bottom // rows))
        for column in range(left // columns, -(-right // columns))
    ]
    box = np.full([stop - start for start, stop in (bands, *spans[-2:])], page.nodata, page.dtype)
    page.init_decode()
    extra = {"jpegtables": page.jpegtables} if int(page.compression) in JPEG else {}
    for data, number in page.parent.filehandle.read_segments(
        [page.dataoffsets[number] for number in numbers],
        [page.databytecounts[number] for number in numbers],
        indices=numbers,
    ):
        piece, (band, _, y, x, _), _ = page.decode(data, number, _fullsize=False, **extra)
        if piece is None:  # never written
            continue
        piece = np.moveaxis(piece[0], -1, 0)[slice(*bands) if not apart else slice(None)]
        at = band - bands[0] if apart else 0
        ys, xs = _overlap(y, piece.shape[1], top, bottom), _overlap(x, piece.shape[2], left, right)
        part = piece[:, ys[0], xs[0]]
        box[at : at + len(part), ys[1], xs[1]] = part
    box = box.reshape([stop - start for start, stop in spans])
    inner = tuple(
        slice(None, None, wanted.step) if isinstance(part, slice) else 0
        for part, wanted in zip(key, ranges, strict=True)
    )
    return box[inner]


def _overlap(start: int, length: int, low: int, high: int) -> tuple[slice, slice]:
    """Where a piece lies in what is wanted: the part of the piece, and its place."""
    first, last = max(start, low), min(start + length, high)
    return slice(first - start, last - start), slice(first - low, last - low)


def _scaling(page: tifffile.TiffPage) -> str:
    tag = page.tags.get(42112)
    text = str(tag.value) if tag is not None else ""
    if 'role="scale"' in text or 'role="offset"' in text:
        return "GDAL's scale and offset are kept as attributes and not applied"
    return ""


def _coordinates(page: tifffile.TiffPage) -> dict[str, xr.Variable]:
    """Centres of the pixels, for images that are not rotated."""
    tags = page.geotiff_tags or {}
    scale, tie = tags.get("ModelPixelScale"), tags.get("ModelTiepoint")
    matrix = tags.get("ModelTransformation")
    if scale and tie and len(tie) == 6:
        column, row, _, x, y, _ = tie
        width, height = scale[0], -scale[1]
    elif matrix is not None:
        matrix = np.asarray(matrix, float).reshape(4, 4)
        if matrix[0, 1] or matrix[1, 0]:
            return {}
        column = row = 0.0
        x, y, width, height = matrix[0, 3], matrix[1, 3], matrix[0, 0], matrix[1, 1]
    else:
        return {}
    half = 0.0 if int(tags.get("GTRasterTypeGeoKey") or 1) == 2 else 0.5
    return {
        "x": xr.Variable("x", x + (np.arange(page.imagewidth) - column + half) * width),
        "y": xr.Variable("y", y + (np.arange(page.imagelength) - row + half) * height),
    }
