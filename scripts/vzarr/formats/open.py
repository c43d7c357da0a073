"""What a file holds, by a reader that knows nothing of manifests: h5netcdf, netCDF-C and others.

The truth that references are compared with, and the values of what is stored natively.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import xarray as xr

from vzarr.formats.checks import check_arrays
from vzarr.formats.detect import detect_format
from vzarr.formats.dimensions import with_distinct_dimensions
from vzarr.formats.hdf5 import reader
from vzarr.formats.hdf5.declared import hdf5_declared
from vzarr.formats.hdf5.hazards import hdf5_is_tree
from vzarr.formats.netcdf3 import netcdf3_declared, open_netcdf3
from vzarr.formats.registry import load_format
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import closed
from vzarr.upstream.patches import apply_patches

apply_patches()


WIDE = 300
"""Datasets from which h5netcdf reads faster than netCDF-C, which looks through all for each."""


def list_groups(content: Content) -> list[str]:
    """Paths of the groups that may hold variables; the root is an empty string."""
    return load_format(detect_format(content)).list_groups(content)


@contextmanager
def open_native(
    content: Content,
    file_format: str,
    group: str = "",
    drop: Iterable[str] = (),
    quick: bool = False,
) -> Iterator[xr.Dataset]:
    """One group, CF-decoded; times stay undecoded where xarray cannot decode their units.

    Without the variables in ``drop``, which are not looked at. ``quick``: by netCDF-C where that
    wrote the file, which opens it many times faster than h5netcdf.

    Raises
    ------
    Refused
        If the group declares more than ``vzarr.limits`` allow.
    Exception
        Whatever the reader raises for a file that it cannot read.
    """
    drop = list(drop)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if file_format in CHECKED:
            check_arrays(content, group, CHECKED[file_format](content, group), drop)
        if file_format == "hdf5":
            _check_what_is_loaded(content, group, drop)
        if quick and file_format == "hdf5" and is_by_netcdf(content):
            file_format = "netcdf4"
        try:
            dataset = _open(content, file_format, group, drop, decode_times=True)
        except (ValueError, OverflowError) as error:
            if "decode time" not in str(error):
                raise
            dataset = _open(content, file_format, group, drop, decode_times=False)
        with dataset:
            yield with_distinct_dimensions(dataset, content.cache.setdefault("notes", []))


def is_by_netcdf(content: Content) -> bool:
    """Whether netCDF-C wrote a local file, of types that it reads as h5netcdf does."""
    if not isinstance(content.handle, Path):
        return False
    if "by netcdf" not in content.cache:
        is_safe = not closed(content) and hdf5_is_tree(content)
        content.cache["by netcdf"] = is_safe and _is_by_netcdf(content.handle)
    return content.cache["by netcdf"]


def _is_by_netcdf(path: Path) -> bool:
    with h5py.File(path, "r") as file:
        items: list[h5py.Dataset] = []
        file.visititems(lambda name, item: items.append(item))
        datasets = [item for item in items if isinstance(item, h5py.Dataset)]
        if "_NCProperties" not in file.attrs or len(datasets) > WIDE:
            return False
        return all(
            item.dtype.kind in "iuf" and not h5py.check_enum_dtype(item.dtype) for item in datasets
        )


def _open(
    content: Content, file_format: str, group: str, drop: list[str], decode_times: bool
) -> xr.Dataset:
    options: dict[str, Any] = {
        "decode_times": decode_times,
        "drop_variables": drop,
        "cache": False,
    }
    if file_format == "hdf5":
        return _open_hdf5(content, group, options)
    if file_format == "netcdf4":
        return xr.open_dataset(content.open(), engine="netcdf4", group=group or None, **options)
    if file_format == "netcdf3":
        if isinstance(content.handle, Path):
            return xr.open_dataset(content.handle, engine="netcdf4", **options)
        store = xr.backends.NetCDF4DataStore(open_netcdf3(content))
        return xr.open_dataset(store, **options)
    raw = load_format(file_format).open_raw(content, group, drop)
    return xr.decode_cf(raw, decode_times=decode_times, drop_variables=drop)


def _open_hdf5(content: Content, group: str, options: dict[str, Any]) -> xr.Dataset:
    """By h5netcdf, or by h5py alone where that refuses the file for something beside the data."""
    try:
        if closed(content):
            raise ValueError("links that are not followed")
        with h5py.File(content.open(), "r") as file:
            if not hdf5_is_tree(content) or not reader.is_plain(file, group):
                raise ValueError("a type that NetCDF does not have")
        return xr.open_dataset(
            content.open(), engine="h5netcdf", phony_dims="sort", group=group or None, **options
        )
    except Exception as error:
        if "decode time" in str(error):
            raise
        try:
            file = h5py.File(content.open(), "r")
            found = reader.open_raw(file, group, closed(content))
            decoded = xr.decode_cf(
                found.dataset,
                decode_times=options["decode_times"],
                drop_variables=options["drop_variables"],
            )
        except Exception:
            raise error from None
    for key, reasons in (("without values", found.nothing), ("unfit", found.unfit)):
        known = content.cache.setdefault(key, {})
        known.update({f"{group}/{name}".lstrip("/"): why for name, why in reasons.items()})
    decoded.set_close(file.close)
    return decoded


def _check_what_is_loaded(content: Content, group: str, drop: list[str]) -> None:
    """Coordinates, and text, of which xarray reads all to find its type.

    Raises
    ------
    InputError
        If HDF5 would unpack more than a dataset declares.
    """
    checked = content.cache.setdefault("hdf5 contents", set())
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        for name in room:
            known = (group, name) in checked or name in drop
            if known or reader.kind_of(room, name) is not h5py.Dataset:
                continue
            dataset = room[name]
            if reader.is_text(dataset) or (dataset.ndim == 1 and dataset.is_scale):
                reader.check_contents(dataset, content.url)
            checked.add((group, name))


def child_groups(content: Content) -> list[str]:
    """Names of an HDF5 file's groups below its root that hold datasets."""
    hdf5_is_tree(content)
    names: set[str] = set()

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and "/" in name:
            names.add(name.rpartition("/")[0])

    with h5py.File(content.open(), "r") as file:
        file.visititems(note)
    return sorted(names)


CHECKED = {"hdf5": hdf5_declared, "netcdf3": netcdf3_declared}
"""Formats that libraries open, which load coordinates: others are checked by their own modules."""
