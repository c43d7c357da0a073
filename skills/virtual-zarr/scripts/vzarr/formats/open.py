"""What a file holds, by a reader that knows nothing of manifests: h5netcdf, netCDF-C and others.

The truth that references are compared with, and the values of what is stored natively.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import xarray as xr

from vzarr.formats.detect import detect_format
from vzarr.formats.dimensions import with_distinct_dimensions
from vzarr.formats.hdf5.open import is_by_netcdf, open_quickly
from vzarr.formats.registry import load_format
from vzarr.sources.content import Content
from vzarr.upstream.patches import apply_patches

apply_patches()


def list_groups(content: Content) -> list[str]:
    """Paths of the groups that may hold variables; the root is an empty string.

    Raises
    ------
    InputError
        For a file of a format that is not known, or that no reader can take.
    """
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
    open_group = load_format(file_format).open_group
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if quick and file_format == "hdf5" and is_by_netcdf(content):
            open_group = open_quickly
        try:
            dataset = open_group(content, group, drop, decode_times=True)
        except (ValueError, OverflowError) as error:
            if "decode time" not in str(error):
                raise
            dataset = open_group(content, group, drop, decode_times=False)
        with dataset:
            yield with_distinct_dimensions(dataset, content.findings.notes)
