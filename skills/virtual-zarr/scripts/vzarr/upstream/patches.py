"""The patches that the installed releases need, applied once in a process.

Speed is patched in releases that were looked at only: another one is left as it is, and slower. The
bound on what chunks unpack to holds for every release.
"""

from __future__ import annotations

from functools import cache

from vzarr.upstream.decoders import bound_decoders
from vzarr.upstream.versions import installed


@cache
def apply_patches() -> None:
    """Patch h5netcdf, VirtualiZarr's parsers and numcodecs, where their releases need it."""
    bound_decoders()
    if (1, 6) <= installed("h5netcdf") < (1, 9):
        from vzarr.upstream.h5netcdf import patch_h5netcdf

        patch_h5netcdf()
    if (2, 8) <= installed("virtualizarr") < (2, 9):
        from vzarr.upstream.hdf_parser import patch_hdf_parser

        patch_hdf_parser()
        from vzarr.upstream.netcdf3_parser import patch_netcdf3_parser

        patch_netcdf3_parser()
