"""The formats and what each needs.

A new format is an entry in ``FORMATS`` and a module that is a ``vzarr.formats.protocol.Format``.
"""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from vzarr.errors import InputError

if TYPE_CHECKING:
    from vzarr.formats.protocol import Format


@dataclass(frozen=True)
class Registered:
    """``packages`` maps what is imported to what is installed; ``module`` reads the format.

    ``magic``: how its files begin, where that alone tells it from others
    (``vzarr.formats.detect`` has the rest). ``references`` says that chunks lie in other files than
    the one that was named.
    """

    title: str
    module: str
    packages: dict[str, str] = field(default_factory=dict)
    magic: tuple[bytes, ...] = ()
    references: bool = False


FORMATS = {
    "hdf5": Registered("HDF5", "vzarr.formats.hdf5.parser"),
    "netcdf3": Registered(
        "NetCDF3", "vzarr.formats.netcdf3", magic=(b"CDF\x01", b"CDF\x02", b"CDF\x05")
    ),
    "grib": Registered(
        "GRIB", "vzarr.formats.grib.parser", {"gribberish": "gribberish", "eccodes": "eccodes"}
    ),
    "fits": Registered("FITS", "vzarr.formats.fits", {"astropy": "astropy"}, magic=(b"SIMPLE  =",)),
    "tiff": Registered(
        "TIFF",
        "vzarr.formats.tiff",
        {"virtual_tiff": "virtual-tiff", "tifffile": "tifffile"},
        magic=(b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    ),
    "hdf4": Registered(
        "HDF4",
        "vzarr.formats.hdf4.parser",
        {"kerchunk": "kerchunk", "pyhdf": "pyhdf"},
        magic=(b"\x0e\x03\x13\x01",),
    ),
    "zarr": Registered("Zarr", "vzarr.formats.zarr", {"arro3.core": "arro3-core"}),
    "zarr-zip": Registered(
        "Zarr in a zip file", "vzarr.formats.zarr", {"arro3.core": "arro3-core"}
    ),
    "kerchunk": Registered("Kerchunk JSON", "vzarr.formats.kerchunk.parser", references=True),
    "kerchunk-parquet": Registered(
        "Kerchunk Parquet",
        "vzarr.formats.kerchunk.parser",
        {"fsspec": "fsspec", "fastparquet": "fastparquet"},
        references=True,
    ),
    "envi": Registered("ENVI", "vzarr.formats.envi"),
}


def load_format(name: str) -> Format:
    """The module that reads a format.

    Raises
    ------
    InputError
        If a package is missing, with the options that bring it.
    """
    form = FORMATS[name]
    missing = [package for module, package in form.packages.items() if not _is_there(module)]
    if missing:
        options = " ".join(f"--with {package}" for package in missing)
        raise InputError(
            f"{form.title} needs {' and '.join(missing)}: run with "
            f"`uv run {options} scripts/virtual_zarr.py …`, or install it beside virtualizarr."
        )
    try:
        return cast("Format", importlib.import_module(form.module))
    except (ImportError, RuntimeError) as error:  # ecCodes without its C library
        raise InputError(f"{form.title} cannot be read here: {error}") from error


def register_codecs() -> None:
    """Codecs that Zarr does not find by itself: of TIFF, and of GRIB that gribberish lacks."""
    from vzarr.upstream.virtual_tiff import register_codecs as register_tiff

    register_tiff()
    if _is_there("eccodes"):
        with suppress(ImportError, RuntimeError):  # ecCodes without its C library
            importlib.import_module("virtual_zarr_grib").register()


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
