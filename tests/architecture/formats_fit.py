"""Each registered format, for mypy to compare with the protocol; nothing here is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vzarr.formats import envi, fits, netcdf3, tiff, zarr
    from vzarr.formats.grib import parser as grib
    from vzarr.formats.hdf4 import parser as hdf4
    from vzarr.formats.hdf5 import parser as hdf5
    from vzarr.formats.kerchunk import parser as kerchunk
    from vzarr.formats.protocol import Format

    ENVI: Format = envi
    FITS: Format = fits
    GRIB: Format = grib
    HDF4: Format = hdf4
    HDF5: Format = hdf5
    KERCHUNK: Format = kerchunk
    NETCDF3: Format = netcdf3
    TIFF: Format = tiff
    ZARR: Format = zarr
