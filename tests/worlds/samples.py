"""Small, seeded sample files in the layouts that users meet.

Every maker writes into a folder and returns the paths it wrote, in time (or member) order.
The same call always gives the same bytes of data, so tests may compare values across processes.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4
import numpy as np

ERA5_DAYS = 5
ERA5_STEPS_PER_DAY = 4
ERA5_PACKING = {"scale_factor": 0.002, "add_offset": 280.0}
ERA5_REPACKING = {"scale_factor": 0.004, "add_offset": 270.0}
GOES_HOURS = (0, 1, 2)
J2000 = datetime(2000, 1, 1, 12)
ARCHIVED = datetime(2024, 2, 1, tzinfo=UTC)


def write_all(folder: Path) -> None:
    """Write everything that the ``files`` world shows under ``data/``."""
    for day in range(1, ERA5_DAYS + 1):
        write_era5_day(folder / "era5", day, ERA5_PACKING)
    write_era5_day(folder / "era5_repacked", ERA5_DAYS + 1, ERA5_REPACKING)
    for hour in GOES_HOURS:
        write_goes_image(folder / "goes", hour)
    for member in range(4):
        write_ensemble_member(folder / "ensemble", member)
    # An archive is older than its readers. Icechunk compares whole seconds, so a file made within
    # the second before it is parsed counts as changed.
    for path in folder.rglob("*.nc"):
        os.utime(path, (ARCHIVED.timestamp(), ARCHIVED.timestamp()))


def write_era5_day(folder: Path, day: int, packing: dict[str, float]) -> Path:
    """Write one day of an ERA5-like field, as the netCDF-C library lays it out.

    ``t2m`` is (time=4, latitude=8, longitude=12), packed int16, deflate + shuffle, a chunk a step.
    ``time`` counts hours since the file's own midnight, so its epoch differs from file to file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"era5_t2m_2024-01-{day:02d}.nc"
    random = np.random.default_rng(day)
    latitude = np.linspace(70, -70, 8, dtype="f4")
    longitude = np.arange(0, 360, 30, dtype="f4")
    hours = np.arange(0, 24, 24 // ERA5_STEPS_PER_DAY)
    field = (
        280
        + 20 * np.cos(np.radians(latitude))[None, :, None]
        + 3 * np.sin(np.radians(longitude + 15 * hours[:, None]))[:, None, :]
        + random.normal(0, 1, (hours.size, latitude.size, longitude.size))
    )
    with netCDF4.Dataset(path, "w") as file:
        file.title = "ERA5-like 2 m temperature"
        for name, size in [("time", hours.size), ("latitude", 8), ("longitude", 12), ("nv", 2)]:
            file.createDimension(name, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units = f"hours since 2024-01-{day:02d} 00:00:00"
        time.calendar = "proleptic_gregorian"
        time.bounds = "time_bnds"
        time[:] = hours
        bounds = file.createVariable("time_bnds", "f8", ("time", "nv"))
        bounds[:] = np.stack([hours, hours + 24 // ERA5_STEPS_PER_DAY], axis=1)
        for name, values, units in [
            ("latitude", latitude, "degrees_north"),
            ("longitude", longitude, "degrees_east"),
        ]:
            coordinate = file.createVariable(name, "f4", (name,))
            coordinate.units = units
            coordinate[:] = values
        t2m = file.createVariable(
            "t2m",
            "i2",
            ("time", "latitude", "longitude"),
            zlib=True,
            shuffle=True,
            chunksizes=(1, 8, 12),
            fill_value=-32767,
        )
        t2m.units = "K"
        t2m.long_name = "2 metre temperature"
        t2m.grid_mapping = "crs"
        t2m.setncatts(packing)
        t2m[:] = np.ma.masked_array(field, mask=random.random(field.shape) < 0.02)
        land = file.createVariable("lsm", "f4", ("latitude", "longitude"))
        land.long_name = "land-sea mask"
        land[:] = np.random.default_rng(0).random((8, 12)).round(2)
        crs = file.createVariable("crs", "i4", ())
        crs.grid_mapping_name = "latitude_longitude"
        crs[...] = 1
    return path


def goes_name(hour: int) -> str:
    """File name of an ABI full-disk image of day 1 of 2024, in NOAA's pattern."""
    stamp = f"2024001{hour:02d}"
    return f"OR_ABI-L2-CMIPF-M6C13_G16_s{stamp}00205_e{stamp}09525_c{stamp}10003.nc"


def write_goes_image(folder: Path, hour: int) -> Path:
    """Write one GOES-like image: unsigned packed ``CMI`` (y=50, x=50), scalar ``t``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / goes_name(hour)
    random = np.random.default_rng(1000 + hour)
    angle = np.arange(50, dtype="i2")
    with netCDF4.Dataset(path, "w") as file:
        file.title = "ABI L2 Cloud and Moisture Imagery"
        file.createDimension("y", 50)
        file.createDimension("x", 50)
        for name, sign in [("y", -1), ("x", 1)]:
            coordinate = file.createVariable(name, "i2", (name,))
            coordinate.scale_factor = np.float32(sign * 0.0056)
            coordinate.add_offset = np.float32(sign * -0.14)
            coordinate.units = "rad"
            coordinate.set_auto_maskandscale(False)
            coordinate[:] = angle
        cmi = file.createVariable(
            "CMI",
            "i2",
            ("y", "x"),
            zlib=True,
            shuffle=True,
            chunksizes=(25, 25),
            fill_value=np.int16(-1),
        )
        cmi.setncattr("_Unsigned", "true")
        cmi.scale_factor = np.float32(0.06145332)
        cmi.add_offset = np.float32(89.62)
        cmi.units = "K"
        cmi.grid_mapping = "goes_imager_projection"
        cmi.set_auto_maskandscale(False)
        counts = random.integers(1000, 4000, (50, 50)).astype("u2")
        counts[random.random(counts.shape) < 0.02] = 65535
        cmi[:] = counts.view("i2")
        quality = file.createVariable("DQF", "i1", ("y", "x"), zlib=True, chunksizes=(25, 25))
        quality[:] = counts == 65535
        t = file.createVariable("t", "f8", ())
        t.units = "seconds since 2000-01-01 12:00:00"
        t.standard_name = "time"
        scanned = datetime(2024, 1, 1, hour) + timedelta(minutes=5)
        t[...] = (scanned - J2000).total_seconds()
        projection = file.createVariable("goes_imager_projection", "i4", ())
        projection.grid_mapping_name = "geostationary"
        projection.perspective_point_height = 35786023.0
        projection[...] = 0
    return path


def write_ensemble_member(folder: Path, member: int) -> Path:
    """Write one ensemble member: float32 ``tas`` (time=6, lat=8, lon=12), unlimited ``time``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"member_{member:02d}.nc"
    random = np.random.default_rng(2000 + member)
    with netCDF4.Dataset(path, "w") as file:
        file.realization = np.int32(member)
        file.createDimension("time", None)
        file.createDimension("lat", 8)
        file.createDimension("lon", 12)
        time = file.createVariable("time", "f8", ("time",), chunksizes=(6,))
        time.units = "days since 1990-01-01"
        time.calendar = "standard"
        time[:] = 12418.0 + np.arange(6)
        for name, values in [("lat", np.linspace(-70, 70, 8)), ("lon", np.arange(0, 360, 30.0))]:
            file.createVariable(name, "f8", (name,))[:] = values
        tas = file.createVariable(
            "tas",
            "f4",
            ("time", "lat", "lon"),
            zlib=True,
            shuffle=True,
            chunksizes=(1, 8, 12),
            fill_value=np.float32(1e20),
        )
        tas.units = "K"
        tas[:] = 280 + random.normal(0, 5, (6, 8, 12))
    return path
