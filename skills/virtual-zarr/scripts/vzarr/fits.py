"""FITS: images by astropy and by VirtualiZarr's parser; each table a group of native columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from astropy.io import fits
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import FITSParser

from vzarr.errors import InputError
from vzarr.lazy import lazy_variable
from vzarr.native import Content

COMMENTS = ("COMMENT", "HISTORY", "")


def list_groups(content: Content) -> list[str]:
    with _open(content) as hdus:
        named = _named(hdus)
        for name, hdu in named:
            _check_length(content, name, hdu)
        return ["", *(name for name, hdu in named if _is_table(hdu) and _size(hdu))]


def open_raw(content: Content, group: str) -> xr.Dataset:
    hdus = _open(content)
    named = dict(_named(hdus))
    reasons = content.cache.setdefault("reasons", {})
    if group:
        variables, ragged = _columns(group, named[group])
        unfit = content.cache.setdefault("unfit", {})
        for name in ragged:
            unfit[f"{group}/{name}"] = "is a FITS column of arrays of varying length"
        for name in variables:
            reasons[f"{group}/{name}"] = "a column of a FITS table"
    else:
        unfit = content.cache.setdefault("unfit", {})
        for name, hdu in named.items():
            if _is_random(hdu):
                unfit[name] = "holds FITS random groups, which no parser reads"
            elif not hdu.is_image and not hasattr(hdu, "columns") and _size(hdu):
                unfit[name] = "is an extension that FITS does not define"
        images = {name: hdu for name, hdu in named.items() if _is_image(hdu) and _size(hdu)}
        variables = {name: _image(name, hdu) for name, hdu in images.items()}
        for name, hdu in images.items():
            if _is_compressed(hdu):
                reasons[name] = "a tile-compressed FITS image"
    dataset = xr.Dataset(variables)
    dataset.set_close(hdus.close)
    return dataset


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    if group:
        return ManifestGroup()
    with _open(content) as hdus:
        # The parser takes the bytes of compressed images for pixels.
        no_image = [name for name, hdu in _named(hdus) if not _is_image(hdu) or _is_compressed(hdu)]
    parser = FITSParser(skip_variables=[*drop, *no_image])
    return parser(url=url, registry=registry)._group


def _open(content: Content) -> fits.HDUList:
    return fits.open(content.open(), memmap=True, do_not_scale_image_data=True)


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
        return hdu.header["GCOUNT"] * (hdu.header["PCOUNT"] + int(np.prod(axes[1:])))
    return int(np.prod(axes)) if axes else 0


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
    if hdu._orig_bscale != 1 or hdu._orig_bzero != 0:
        attributes["scale_factor"] = float(hdu._orig_bscale)
        attributes["add_offset"] = float(hdu._orig_bzero)
    blank = hdu._orig_blank
    if blank is not None and kind[0] in "iu":
        attributes["_FillValue"] = np.dtype(kind).type(blank)
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
    file = content.open()
    size = file.stat().st_size if isinstance(file, Path) else file.seek(0, 2)
    if size < needed and not _is_compressed(hdu):
        raise InputError(
            f"{content.url}: {name} ends after {size} of {needed} bytes: the file is incomplete; "
            "fetch it again."
        )


def _columns(group: str, hdu: Any) -> tuple[dict[str, xr.Variable], list[str]]:
    """The columns that are arrays, and the names of those that are not."""
    variables = {}
    ragged = []
    for column in hdu.columns:
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
