"""Packing that is given as text, an old habit of GrADS and COARDS: the number that it means."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import vzarr
import xarray as xr

STORED = np.arange(6, dtype="i2").reshape(2, 3)


@pytest.fixture(params=["NETCDF4", "NETCDF3_CLASSIC", "quick"])
def files(tmp_path: Path, request: pytest.FixtureRequest) -> list[Path]:
    """Two files of packed integers, whose factor and offset are texts."""
    found = []
    kind = "NETCDF4" if request.param == "quick" else request.param
    for number in range(2):
        path = tmp_path / f"{number}.nc"
        with netCDF4.Dataset(path, "w", format=kind) as file:
            if request.param != "quick":
                file.createDimension("letters", 2)
                file.createVariable("text", "S1", ("letters",))[:] = np.array(["a", "b"], "S1")
            file.createDimension("time", 2)
            file.createDimension("x", 3)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2000-01-01"
            time[:] = [2 * number, 2 * number + 1]
            packed = file.createVariable("v", "i2", ("time", "x"))
            packed.set_auto_maskandscale(False)
            packed[:] = STORED
            packed.scale_factor, packed.add_offset = "0.5", "10"
            odd = file.createVariable("odd", "i2", ("time", "x"))
            odd.set_auto_maskandscale(False)
            odd[:] = STORED
            odd.scale_factor = "none"
        found.append(path)
    return found


def test_text_is_taken_for_the_number(files: list[Path], tmp_path: Path) -> None:
    built = vzarr.build(files[:1], tmp_path / "store", concat_dim="time")
    assert {"v", "odd"} <= set(built.virtual)
    vzarr.append(files, tmp_path / "store")
    assert vzarr.verify(tmp_path / "store", sample=None).passed
    ds = vzarr.open_dataset(tmp_path / "store")
    np.testing.assert_array_equal(ds.v, np.concatenate([STORED, STORED]) * 0.5 + 10)
    np.testing.assert_array_equal(ds.odd, np.concatenate([STORED, STORED]))
    np.testing.assert_array_equal(
        ds.time, xr.date_range("2000-01-01", periods=4, freq="D", unit="ns")
    )


def test_inspect_reads_them(files: list[Path]) -> None:
    found = vzarr.inspect(files)
    assert (len(found.sets), found.unreadable) == (1, {})
