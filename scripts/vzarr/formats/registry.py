"""The formats and what each needs.

A new format is an entry in ``FORMATS`` and a module that is a ``vzarr.formats.protocol.Format``.
"""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType

from vzarr.errors import InputError
from vzarr.upstream import virtual_tiff


@dataclass(frozen=True)
class Format:
    """``packages`` maps what is imported to what is installed; ``module`` reads the format.

    ``references`` says that chunks lie in other files than the one that was named.
    """

    title: str
    module: str
    packages: dict[str, str] = field(default_factory=dict)
    references: bool = False


FORMATS = {
    "hdf5": Format("HDF5", "vzarr.formats.hdf5.parser"),
    "netcdf3": Format("NetCDF3", "vzarr.formats.hdf5.parser"),
    "grib": Format(
        "GRIB", "vzarr.formats.grib.parser", {"gribberish": "gribberish", "eccodes": "eccodes"}
    ),
    "fits": Format("FITS", "vzarr.formats.fits", {"astropy": "astropy"}),
    "tiff": Format(
        "TIFF", "vzarr.formats.tiff", {"virtual_tiff": "virtual-tiff", "tifffile": "tifffile"}
    ),
    "hdf4": Format("HDF4", "vzarr.formats.hdf4.parser", {"kerchunk": "kerchunk", "pyhdf": "pyhdf"}),
    "zarr": Format("Zarr", "vzarr.formats.zarr", {"arro3.core": "arro3-core"}),
    "zarr-zip": Format("Zarr in a zip file", "vzarr.formats.zarr", {"arro3.core": "arro3-core"}),
    "kerchunk": Format("Kerchunk JSON", "vzarr.formats.kerchunk.parser", references=True),
    "kerchunk-parquet": Format(
        "Kerchunk Parquet",
        "vzarr.formats.kerchunk.parser",
        {"fsspec": "fsspec", "fastparquet": "fastparquet"},
        references=True,
    ),
    "envi": Format("ENVI", "vzarr.formats.envi"),
}


def load_format(name: str) -> ModuleType:
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
        return importlib.import_module(form.module)
    except (ImportError, RuntimeError) as error:  # ecCodes without its C library
        raise InputError(f"{form.title} cannot be read here: {error}") from error


def register_codecs() -> None:
    """Codecs that Zarr does not find by itself: of TIFF, and of GRIB that gribberish lacks."""
    virtual_tiff.register_codecs()
    if _is_there("eccodes"):
        with suppress(ImportError, RuntimeError):  # ecCodes without its C library
            importlib.import_module("virtual_zarr_grib")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
