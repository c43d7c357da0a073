"""NetCDF3 integers whose fill value is none that they can have, as in ERA-Interim."""

from __future__ import annotations

import struct
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import NetCDF3Parser
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.sources.schemes import Access


def write(path: Path, number: int) -> str:
    """``_FillValue`` is NaN: written under a name of the same length, which is then changed."""
    with netCDF4.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("time", None)
        file.createDimension("x", 4)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = 3 * number + np.arange(3)
        v = file.createVariable("v", "i2", ("time", "x"))
        v.scale_factor, v.add_offset = 0.5, 10.0
        v.setncattr("_FillValuX", np.float64(np.nan))
        v[:] = np.arange(12).reshape(3, 4) + number
    data = path.read_bytes()
    assert data.count(b"_FillValuX") == 1
    assert struct.pack(">d", np.nan) in data
    path.write_bytes(data.replace(b"_FillValuX", b"_FillValue"))
    return str(path)


def test_they_are_virtual(tmp_path: Path) -> None:
    files = [write(tmp_path / f"f{number}.nc", number) for number in range(3)]
    built = build(files[:2], str(tmp_path / "repo"), Access(), prefixes=(str(tmp_path),))
    assert (built.virtual, built.native) == (["v"], {})
    append(files, str(tmp_path / "repo"), Access())
    prefix = f"file://{tmp_path}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(tmp_path / "repo")),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    found = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    rows = [np.arange(12).reshape(3, 4) + number for number in range(3)]
    np.testing.assert_array_equal(found.v, np.concatenate(rows))
    report = verify_repository(str(tmp_path / "repo"), Access(), sample=None)
    assert report.passed, report.failures


def test_programs_that_import_the_package_parse_as_before(tmp_path: Path) -> None:
    """What the tool does with VirtualiZarr's parser is its own: guides quote what that does."""
    file = write(tmp_path / "f.nc", 0)
    build([file], str(tmp_path / "repo"), Access(), prefixes=(str(tmp_path),))
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with pytest.raises(ValueError, match="cannot convert float NaN to integer"):
        open_virtual_dataset(f"file://{file}", registry=registry, parser=NetCDF3Parser())
