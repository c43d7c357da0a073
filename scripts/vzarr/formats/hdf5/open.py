"""HDF5 by h5netcdf, by netCDF-C where that wrote the file, or by h5py where both refuse it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import xarray as xr

from vzarr.formats.checks import check_arrays
from vzarr.formats.decoding import decode, open_decoded
from vzarr.formats.hdf5 import reader
from vzarr.formats.hdf5.declared import hdf5_declared
from vzarr.formats.hdf5.hazards import hdf5_is_tree
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import closed, followed

WIDE = 300
"""Datasets from which h5netcdf reads faster than netCDF-C, which looks through all for each."""


def open_group(content: Content, group: str, drop: Sequence[str], decode_times: bool) -> xr.Dataset:
    """By h5netcdf, or by h5py alone where that refuses the file for something beside the data.

    Raises
    ------
    Refused
        If more is declared than is allowed.
    InputError
        If HDF5 would unpack more than a dataset declares.
    Exception
        What h5netcdf raised, if h5py cannot read the file either.
    """
    _check(content, group, drop)
    try:
        if closed(content):
            raise ValueError("links that are not followed")
        with h5py.File(content.open(), "r") as file:
            if not hdf5_is_tree(content) or not reader.suits_h5netcdf(file, group):
                raise ValueError("a type that NetCDF does not have")
        options = _options(drop, decode_times) | {"engine": "h5netcdf", "phony_dims": "sort"}
        return open_decoded(
            lambda **more: xr.open_dataset(content.open(), group=group or None, **options, **more)
        )
    except Exception as error:
        if "decode time" in str(error):
            raise
        try:
            file = h5py.File(content.open(), "r")
            opened = reader.open_raw(file, group, closed(content))
            decoded = decode(opened.dataset, drop, decode_times)
        except Exception:
            raise error from None
    for known, reasons in (
        (content.findings.without_values, opened.nothing),
        (content.findings.unfit, opened.unfit),
    ):
        known.update({f"{group}/{name}".lstrip("/"): why for name, why in reasons.items()})
    decoded.set_close(file.close)
    return decoded


def open_quickly(
    content: Content, group: str, drop: Sequence[str], decode_times: bool
) -> xr.Dataset:
    """By netCDF-C; for files that ``is_by_netcdf`` tells."""
    _check(content, group, drop)
    options = _options(drop, decode_times)
    options["engine"] = "netcdf4"
    return open_decoded(
        lambda **more: xr.open_dataset(content.open(), group=group or None, **options, **more)
    )


def is_by_netcdf(content: Content) -> bool:
    """Whether netCDF-C wrote a local file, of types that it reads as h5netcdf does."""
    return content.once(_is_by_netcdf)


def _is_by_netcdf(content: Content) -> bool:
    if not isinstance(content.handle, Path) or closed(content) or not hdf5_is_tree(content):
        return False
    with h5py.File(content.handle, "r") as file:
        items: list[h5py.Dataset] = []
        file.visititems(lambda name, item: items.append(item))
        datasets = [item for item in items if isinstance(item, h5py.Dataset)]
        if "_NCProperties" not in file.attrs or len(datasets) > WIDE:
            return False
        return all(
            item.dtype.kind in "iuf" and not h5py.check_enum_dtype(item.dtype) for item in datasets
        )


def child_groups(content: Content) -> list[str]:
    """Names of an HDF5 file's groups below its root that hold datasets.

    Raises
    ------
    InputError
        If groups lie deeper within each other than is allowed.
    """
    hdf5_is_tree(content)
    names: set[str] = set()

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "/" in name:
            names.add(name.rpartition("/")[0])

    with h5py.File(content.open(), "r") as file:
        file.visititems(note)
    return sorted(names)


def _options(drop: Sequence[str], decode_times: bool) -> dict[str, Any]:
    return {"decode_times": decode_times, "drop_variables": list(drop), "cache": False}


def _check(content: Content, group: str, drop: Sequence[str]) -> None:
    """What is declared, and what is loaded: coordinates, and text, of which xarray reads all.

    Raises
    ------
    Refused
        If more is declared than is allowed.
    InputError
        If HDF5 would unpack more than a dataset declares.
    """
    check_arrays(content, group, hdf5_declared(content, group), drop)
    checked = content.findings.contents_checked
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        for name in followed(h5group, group, content):
            known = (group, name) in checked or name in drop
            if known or reader.kind_of(h5group, name) is not h5py.Dataset:
                continue
            dataset = h5group[name]
            if reader.is_text(dataset) or (dataset.ndim == 1 and dataset.is_scale):
                reader.check_contents(dataset, content.url)
            checked.add((group, name))
