"""FITS: images by astropy and by VirtualiZarr's parser; each table a group of native columns."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
import xarray as xr
from astropy.io import fits
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import FITSParser

from vzarr.errors import InputError
from vzarr.formats.backend_array import lazy_variable
from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode
from vzarr.limits import Declared, check_number
from vzarr.sources.content import Content
from vzarr.upstream.astropy import packing_of
from vzarr.upstream.virtualizarr import group_of

BLOCK, CARD = 2880, 80
"""Bytes."""


SIZES = ("BITPIX", "NAXIS", "PCOUNT", "GCOUNT", "GROUPS")


COMMENTS = ("COMMENT", "HISTORY", "")


def list_groups(content: Content) -> list[str]:
    """The root, which has the images, and a group for each table.

    Raises
    ------
    InputError
        For a file that ends too early.
    """
    with _open(content) as hdus:
        hdus_by_name = _named(hdus)
        for name, hdu in hdus_by_name:
            _check_length(content, name, hdu)
        return ["", *(name for name, hdu in hdus_by_name if _is_table(hdu) and _size(hdu))]


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """The images, or the columns of one table."""
    hdus = _open(content)
    hdus_by_name = {name: hdu for name, hdu in _named(hdus) if group or name not in drop}
    reasons, unfit = content.findings.reasons, content.findings.unfit
    if group:
        variables, ragged = _columns(group, hdus_by_name[group], drop)
        for name in ragged:
            unfit[f"{group}/{name}"] = "is a FITS column of arrays of varying length"
        for name in variables:
            reasons[f"{group}/{name}"] = "a column of a FITS table"
    else:
        for name, hdu in hdus_by_name.items():
            if _is_random(hdu):
                unfit[name] = "holds FITS random groups, which no parser reads"
            elif not hdu.is_image and not hasattr(hdu, "columns") and _size(hdu):
                unfit[name] = "is an extension that FITS does not define"
        images = {name: hdu for name, hdu in hdus_by_name.items() if _is_image(hdu) and _size(hdu)}
        check_arrays(content, group, [_declared(name, hdu) for name, hdu in images.items()])
        variables = {name: _image(name, hdu) for name, hdu in images.items()}
        for name, hdu in images.items():
            if _is_compressed(hdu):
                reasons[name] = "a tile-compressed FITS image"
    dataset = decode(xr.Dataset(variables), drop, decode_times)
    dataset.set_close(hdus.close)
    return dataset


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """The images that are stored pixel by pixel; nothing of tables."""
    if group:
        return ManifestGroup()
    with _open(content) as hdus:
        # The parser takes the bytes of compressed images for pixels.
        no_image = [name for name, hdu in _named(hdus) if not _is_image(hdu) or _is_compressed(hdu)]
    parser = FITSParser(skip_variables=[*drop, *no_image])
    return group_of(parser(url=url, registry=registry))


def _open(content: Content) -> fits.HDUList:
    content.once(_check_headers)
    return fits.open(content.open(), memmap=True, do_not_scale_image_data=True)


def _check_headers(content: Content) -> None:
    """astropy reads a header until it ends, which may be never: the first, or that of an extension.

    Raises
    ------
    InputError
        If one is longer than ``vzarr.limits`` allow, or the file ends in it.
    """
    with content.opened() as file:
        size = file.seek(0, 2)
        at = 0
        while at < size:
            cards, at = _read_cards(content, file, at, size)
            try:
                at += _data_length(cards)
            except ValueError:
                break  # astropy says what is wrong with it


def _read_cards(
    content: Content, file: IO[bytes], at: int, size: int
) -> tuple[dict[str, str], int]:
    """The cards that tell how long the data are, and where these begin."""
    cards: dict[str, str] = {}
    begin = at
    file.seek(at)
    while at < size:
        block = file.read(BLOCK)
        at += BLOCK
        for start in range(0, len(block), CARD):
            card = block[start : start + CARD].decode("latin-1")
            if card.rstrip() == "END":
                return cards, at
            if card.startswith(SIZES) and card[8:10] == "= ":
                cards.setdefault(card[:8].strip(), card[10:].partition("/")[0].strip())
        check_number(content.url, "header", at - begin, "bytes of a header that does not end:")
    raise InputError(
        f"{content.url}: its header at byte {begin} does not end: the file is incomplete; fetch it "
        "again."
    )


def _data_length(cards: dict[str, str]) -> int:
    """Bytes of data behind a header, in whole blocks."""
    count = int(cards.get("NAXIS", 0))
    axes = [int(cards[f"NAXIS{n + 1}"]) if f"NAXIS{n + 1}" in cards else 0 for n in range(count)]
    if axes and not axes[0] and cards.get("GROUPS") == "T":
        axes = axes[1:]
    values = math.prod(axes) if axes else 0
    values = int(cards.get("GCOUNT", 1)) * (int(cards.get("PCOUNT", 0)) + values)
    length = abs(int(cards.get("BITPIX", 8))) // 8 * values
    if length < 0:
        raise ValueError("a negative size")
    return -(-length // BLOCK) * BLOCK


def _declared(name: str, hdu: Any) -> Declared:
    axes = tuple(hdu.header[f"NAXIS{n}"] for n in range(hdu.header["NAXIS"], 0, -1))
    return Declared(name, axes, abs(hdu.header["BITPIX"]) // 8)


def _named(hdus: fits.HDUList) -> list[tuple[str, Any]]:
    """HDUs under the names that the parser gives them."""
    names: list[str] = []
    for index, hdu in enumerate(hdus):
        name = hdu.name or str(index)
        names.append(f"{name}_{index}" if name in names else name)
    return list(zip(names, hdus, strict=True))


def _size(hdu: Any) -> int:
    axes = [hdu.header[f"NAXIS{n + 1}"] for n in range(hdu.header["NAXIS"])]
    if _is_random(hdu):
        return hdu.header["GCOUNT"] * (hdu.header["PCOUNT"] + math.prod(axes[1:]))
    return math.prod(axes) if axes else 0


def _is_image(hdu: Any) -> bool:
    return hdu.is_image and not _is_random(hdu)


def _is_table(hdu: Any) -> bool:
    return hasattr(hdu, "columns") and not _is_image(hdu) and not _is_random(hdu)


def _is_random(hdu: Any) -> bool:
    return isinstance(hdu, fits.GroupsHDU)


def _is_compressed(hdu: Any) -> bool:
    return isinstance(hdu, fits.CompImageHDU)


def _image(name: str, hdu: Any) -> xr.Variable:
    attributes: dict[str, Any] = {
        key: value if isinstance(value, bool | int | float | str) else str(value)
        for key, value in dict(hdu.header).items()
        if key not in COMMENTS
    }
    kind = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}[hdu.header["BITPIX"]]
    packing = packing_of(hdu)
    if packing.scale != 1 or packing.zero != 0:
        attributes["scale_factor"] = packing.scale
        attributes["add_offset"] = packing.zero
    if packing.blank is not None and kind[0] in "iu":
        attributes["_FillValue"] = np.dtype(kind).type(packing.blank)
    axes = tuple(f"{name}_{axis}" for axis in _axes(hdu.header["NAXIS"]))
    shape = tuple(hdu.header[f"NAXIS{n}"] for n in range(hdu.header["NAXIS"], 0, -1))

    def read(key: tuple) -> np.ndarray:
        values = np.asarray(hdu.data[key])
        return values.astype(values.dtype.newbyteorder("="))

    return lazy_variable(axes, shape, np.dtype(kind), read, attributes)


def _axes(count: int) -> list[str]:
    if count == 1:
        return ["row"]
    return ["z", "y", "x"][-count:] if count <= 3 else [f"axis{count - n}" for n in range(count)]


def _check_length(content: Content, name: str, hdu: Any) -> None:
    """astropy opens a file that ends too early, and fails when the data are wanted."""
    info = hdu.fileinfo() if hasattr(hdu, "fileinfo") else None
    if not info or not _size(hdu):
        return
    bits = abs(hdu.header["BITPIX"])
    needed = info["datLoc"] + bits // 8 * _size(hdu)
    with content.opened() as file:
        size = file.seek(0, 2)
    if size < needed and not _is_compressed(hdu):
        raise InputError(
            f"{content.url}: {name} ends after {size} of {needed} bytes: the file is incomplete; "
            "fetch it again."
        )


def _columns(group: str, hdu: Any, drop: Sequence[str]) -> tuple[dict[str, xr.Variable], list[str]]:
    """The columns that are arrays, and the names of those that are not."""
    variables = {}
    ragged = []
    for column in hdu.columns:
        if column.name in drop:
            continue
        if re.match("[0-9]*[PQ]", str(column.format)):  # each row may repeat the same large part
            ragged.append(column.name)
            continue
        values = np.asarray(hdu.data[column.name])
        if values.dtype == object:
            ragged.append(column.name)
            continue
        if values.dtype.isnative is False:
            values = values.astype(values.dtype.newbyteorder("="))
        dims = ("row", *(f"{column.name}_{axis}" for axis in range(1, values.ndim)))
        units = {"units": column.unit} if column.unit else {}
        variables[column.name] = xr.Variable(dims, values, units)
    return variables, ragged
