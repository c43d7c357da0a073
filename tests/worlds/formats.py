"""Small, seeded files of every format that can be virtualized, and of some that cannot.

Each is written by its format's own library. ``write_all`` makes what the ``formats`` world shows
under ``data/formats/``; the same call always gives the same values.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import shutil
import zipfile
from datetime import UTC, datetime
from importlib.metadata import files
from pathlib import Path

import eccodes
import h5py
import hdf5plugin
import imagecodecs
import kerchunk.combine
import kerchunk.df
import kerchunk.grib2
import kerchunk.hdf
import netCDF4
import numpy as np
import tifffile
import xarray as xr
import zarr
from astropy.io import fits
from pyhdf.SD import SD, SDC, SDS

from worlds.grib import write_products

ARCHIVED = datetime(2024, 2, 1, tzinfo=UTC).timestamp()
REAL_FILES = Path(__file__).parents[1] / "data"


def write_all(folder: Path) -> None:
    """Write everything that the ``formats`` world shows, real files included."""
    for write in (
        write_netcdf3,
        write_hdf5,
        write_zarr,
        write_kerchunk,
        write_grib,
        write_fits,
        write_tiff,
        write_dmrpp,
        write_hdf4,
        write_envi,
        write_npy,
    ):
        room = folder / write.__name__.removeprefix("write_")
        room.mkdir(parents=True)
        write(room)
    shutil.copytree(REAL_FILES, folder / "real")
    for path in folder.rglob("*"):  # as in samples.py: older than the store that refers to it
        os.utime(path, (ARCHIVED, ARCHIVED))


def write_netcdf3(folder: Path) -> None:
    """Record variables (packed ``rain``, ``wind``), fixed ones, two months of fixed time, CDF-5.

    ``nan_fill.nc``: an integer variable with a fill value of NaN.
    """
    random = np.random.default_rng(3)
    with netCDF4.Dataset(folder / "stations.nc", "w", format="NETCDF3_CLASSIC") as file:
        for name, size in [("time", None), ("y", 4), ("x", 5), ("month", 12)]:
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "hours since 2024-01-01"
        rain = file.createVariable("rain", "i2", ("time", "y", "x"), fill_value=-99)
        rain.scale_factor, rain.add_offset, rain.units = 0.1, 0.0, "mm"
        wind = file.createVariable("wind", "f4", ("time", "y", "x"))
        normal = file.createVariable("normal", "f4", ("month", "y", "x"))
        time[:] = np.arange(6)
        field = random.gamma(2, 3, (6, 4, 5))
        rain[:] = np.ma.masked_array(field, mask=random.random(field.shape) < 0.1)
        wind[:] = random.normal(5, 2, (6, 4, 5))
        normal[:] = random.random((12, 4, 5))
    for month, days in [("2024-01", 31), ("2024-02", 29)]:
        with netCDF4.Dataset(folder / f"sst_{month}.nc", "w", format="NETCDF3_64BIT") as file:
            for name, size in [("time", days), ("y", 4), ("x", 5)]:
                file.createDimension(name, size)
            time = file.createVariable("time", "i4", ("time",))
            time.units = f"days since {month}-01"
            time[:] = np.arange(days)
            sst = file.createVariable("sst", "f4", ("time", "y", "x"))
            sst.units = "degC"
            sst[:] = random.normal(15, 3, (days, 4, 5))
    with netCDF4.Dataset(folder / "wide.nc", "w", format="NETCDF3_64BIT_DATA") as file:
        file.createDimension("x", 3)
        file.createVariable("count", "u8", ("x",))[:] = np.array([1, 2, 2**63], "u8")
    with netCDF4.Dataset(folder / "nan_fill.nc", "w", format="NETCDF3_CLASSIC") as file:
        file.createDimension("x", 4)
        count = file.createVariable("count", "i2", ("x",))
        count.setncattr("_FillValuX", np.nan)  # netCDF4 would make an integer of it
        count[:] = [5, -99, 7, 8]
    path = folder / "nan_fill.nc"
    path.write_bytes(path.read_bytes().replace(b"_FillValuX", b"_FillValue"))


def write_hdf5(folder: Path) -> None:
    """A granule in groups, files without dimension scales, and what HDF5 has that Zarr has not."""
    random = np.random.default_rng(5)
    for number, scans in enumerate([6, 6, 5]):
        with netCDF4.Dataset(folder / f"granule_{number}.nc", "w") as file:
            file.createDimension("scan", scans)
            file.createDimension("pixel", 8)
            file.createVariable("pixel", "i4", ("pixel",))[:] = np.arange(8)
            product = file.createGroup("product")
            no2 = product.createVariable(
                "no2", "f4", ("scan", "pixel"), zlib=True, chunksizes=(3, 8), fill_value=-1e30
            )
            no2.units = "mol m-2"
            no2[:] = np.ma.masked_less(random.random((scans, 8)), 0.1)
            geolocation = file.createGroup("geolocation")
            geolocation.createDimension("corner", 4)
            latitude = geolocation.createVariable(
                "latitude_bounds",
                "f4",
                ("scan", "pixel", "corner"),
                zlib=True,
                chunksizes=(3, 8, 4),
            )
            latitude[:] = random.uniform(-80, 80, (scans, 8, 4))
            time = geolocation.createVariable("time", "f8", ("scan",))
            time.units = f"seconds since 2024-01-01 0{number}:00:00"
            time[:] = np.arange(scans)
    with h5py.File(folder / "no_scales.h5", "w") as file:
        file["image"] = random.integers(0, 100, (4, 6))
        file["profile"] = random.random(9)
        file["sub/image"] = random.integers(0, 100, (3, 3))
    with h5py.File(folder / "hides.h5", "w") as file:
        layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        layout.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((4,))
        small = h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT32, space, dcpl=layout)
        small.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([6, 7, 8, 9], "i4"))
        skips = file.create_dataset("skips_filter", (4,), "i4", chunks=(2,), shuffle=True)
        skips[:2] = [1, 2]
        skips.id.write_direct_chunk((2,), np.array([3, 4], "i4").tobytes(), filter_mask=1)
        file["plain"] = np.arange(4)
    with h5py.File(folder / "lzf.h5", "w") as file:
        file.create_dataset("data", data=np.arange(1000), chunks=(100,), compression="lzf")
    write_hdf5_elsewhere(folder)
    write_hdf5_without_codec(folder / "no_codec.h5")
    with netCDF4.Dataset(folder / "phantom.nc", "w") as file:
        file.createDimension("x", 3)
        file.createDimension("nv", 2)
        file.createVariable("x", "f8", ("x",))[:] = [10, 20, 30]
        file.createVariable("x_bnds", "f8", ("x", "nv"))[:] = [[5, 15], [15, 25], [25, 35]]
    # netCDF-C writes _Netcdf4Dimid only where it must; older libraries never did.
    with h5py.File(folder / "phantom.nc", "a") as file:
        for item in file.values():
            item.attrs.pop("_Netcdf4Dimid", None)
    with h5py.File(folder / "types.h5", "w") as file:
        file["name"] = np.array(["Paris", "Zürich"], h5py.string_dtype())
        file["fixed"] = np.array([b"is so", b"yes"], "S8")
        record = np.zeros(2, [("id", "<i4"), ("value", "<f8")])
        record["id"], record["value"] = [1, 2], [0.1, 0.2]
        file["record"] = record
        ragged = file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))
        ragged[0], ragged[1] = [1, 2], [3]
        nested = np.zeros(2, [("id", "<i4"), ("vector", "<f4", (3,))])
        nested["vector"] = [[1, 2, 3], [4, 5, 6]]
        file["nested"] = nested
    with netCDF4.Dataset(folder / "unlimited.nc", "w") as file:
        file.createDimension("time", None)
        file.createDimension("x", 4)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "hours since 2024-01-01"
        time[:] = np.arange(6)
        wave = file.createVariable("wave", "f4", ("time", "x"), zlib=True, chunksizes=(1024, 4))
        wave[:] = random.random((6, 4))


def write_hdf5_elsewhere(folder: Path) -> None:
    """More that hides in ``hides.h5``; ``external.h5``, whose values lie in a raw file.

    HDF5 looks for that file from the working directory, which is above ``data/formats``.
    """
    with h5py.File(folder / "hides.h5", "a") as file:
        layout = h5py.VirtualLayout((4,), "i8")
        layout[:] = h5py.VirtualSource("lzf.h5", "data", (1000,))[:4]
        file.create_virtual_dataset("virtual", layout)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((2,))
        plan.set_shuffle()
        plan.set_deflate(4)
        plan.set_deflate(4)
        space = h5py.h5s.create_simple((4,))
        twice = h5py.h5d.create(file.id, b"twice", h5py.h5t.NATIVE_INT32, space, dcpl=plan)
        twice.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([2, 4, 6, 8], "i4"))
    np.arange(1, 5, dtype="<i4").tofile(folder.parent / "external.bin")
    with h5py.File(folder / "external.h5", "w") as file:
        raw = [("data/formats/external.bin", 0, 16)]
        file.create_dataset("external", (4,), "<i4", external=raw)


def write_hdf5_without_codec(path: Path) -> None:
    """One dataset for each filter that Zarr has no codec for, and a plain one."""
    values = np.arange(100.0)
    filters = {
        "bitshuffle": hdf5plugin.Bitshuffle(),
        "blosc2": hdf5plugin.Blosc2(),
        "zfp": hdf5plugin.Zfp(reversible=True),
    }
    with h5py.File(path, "w") as file:
        file["plain"] = values
        for name, options in filters.items():
            file.create_dataset(name, data=values, chunks=(10,), **options)
        whole = values.astype("i4")
        file.create_dataset("scale_offset", data=whole, chunks=(10,), scaleoffset=8)
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((10,))
        plan.set_filter(h5py.h5z.FILTER_NBIT, 0, ())
        space = h5py.h5s.create_simple((100,))
        packed = h5py.h5d.create(file.id, b"n_bit", h5py.h5t.NATIVE_INT32, space, dcpl=plan)
        packed.write(h5py.h5s.ALL, h5py.h5s.ALL, whole)


def zarr_dataset(random: np.random.Generator) -> xr.Dataset:
    """Packed ``t`` with missing values, float ``p`` with NaN, in 2 by 2 chunks."""
    packed = random.normal(280, 10, (4, 6)).round(2)
    packed[0, 0] = np.nan
    pressure = random.normal(1000, 5, (4, 6)).astype("f4")
    pressure[1, 1] = np.nan
    dims = ("y", "x")
    data = xr.Dataset({"t": (dims, packed), "p": (dims, pressure)}, {"x": np.arange(6.0)})
    data.t.encoding = {
        "dtype": "i2",
        "scale_factor": 0.01,
        "add_offset": 280.0,
        "_FillValue": -32767,
        "chunks": (2, 2),
    }
    data.p.encoding = {"_FillValue": np.float32(-9999), "chunks": (2, 2)}
    return data


def write_zarr(folder: Path) -> None:
    """One dataset in Zarr 2, Zarr 3, sharded, in groups, in a stored zip and a deflated one."""
    data = zarr_dataset(np.random.default_rng(7))
    for version in (2, 3):
        data.to_zarr(folder / f"v{version}.zarr", zarr_format=version, consolidated=False)
    sharded = {"chunks": (1, 2), "shards": (2, 6)}
    data.p.drop_encoding().to_dataset(name="p").to_zarr(
        folder / "sharded.zarr", consolidated=False, encoding={"p": sharded}
    )
    for group in ("low", "high"):
        data.to_zarr(folder / "groups.zarr", group=group, consolidated=False)
    store = zarr.storage.ZipStore(folder / "stored.zip", mode="w")
    data.to_zarr(store, consolidated=False)
    store.close()
    tree = folder / "v3.zarr"
    with zipfile.ZipFile(folder / "deflated.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(tree))
    bare = zarr.create_group(folder / "no_names.zarr", zarr_format=2)
    bare = bare.create_array("a", shape=(4,), chunks=(2,), dtype="i4")
    bare[:] = np.arange(4)


def write_kerchunk(folder: Path) -> None:
    """References that kerchunk made from ``sst_1.nc``: JSON, Parquet, with templates.

    ``combined.json`` and ``combined.parquet`` refer to both files where they lay once.
    """
    random = np.random.default_rng(11)
    for number in (1, 2):
        with netCDF4.Dataset(folder / f"sst_{number}.nc", "w") as file:
            for name, size in [("time", 2), ("y", 4), ("x", 6)]:
                file.createDimension(name, size)
            time = file.createVariable("time", "i4", ("time",))
            time.units = "days since 2024-01-01"
            time[:] = np.arange(2) + 2 * number
            file.createVariable("x", "f8", ("x",))[:] = np.arange(6)
            sst = file.createVariable(
                "sst", "i2", ("time", "y", "x"), zlib=True, chunksizes=(1, 4, 6), fill_value=-999
            )
            sst.scale_factor, sst.add_offset = 0.01, 10.0
            field = random.normal(15, 3, (2, 4, 6))
            sst[:] = np.ma.masked_array(field, mask=random.random(field.shape) < 0.2)
    with (folder / "sst_1.nc").open("rb") as plain, gzip.open(folder / "sst_1.nc.gz", "wb") as file:
        shutil.copyfileobj(plain, file)
    with h5py.File(folder / "text.h5", "w") as file:
        file["name"] = np.array(["Paris", "Rome"], h5py.string_dtype())
        file["count"] = np.arange(4)
    with (folder / "text.h5").open("rb") as file:
        references = kerchunk.hdf.SingleHdf5ToZarr(file, "text.h5", inline_threshold=0).translate()
    (folder / "text.json").write_text(json.dumps(references))
    with h5py.File(folder / "no_fill.h5", "w") as file:
        file["count"] = np.arange(4)
        file["version"] = np.float32(3)
    # The place of the world's files is known only in the world: blocks give it as fs_root.
    path = folder / "sst_1.nc"
    with path.open("rb") as file:
        references = kerchunk.hdf.SingleHdf5ToZarr(file, "sst_1.nc", inline_threshold=0).translate()
    (folder / "sst_1.json").write_text(json.dumps(references))
    kerchunk.df.refs_to_dataframe(references, str(folder / "sst_1.parquet"))
    references["templates"] = {"u": "sst_1.nc"}
    for reference in references["refs"].values():
        if isinstance(reference, list):
            reference[0] = "{{u}}"
    (folder / "templates.json").write_text(json.dumps(references))
    parts = []
    for path in sorted(folder.glob("sst_?.nc")):
        with path.open("rb") as file:
            scanned = kerchunk.hdf.SingleHdf5ToZarr(file, str(path), inline_threshold=0)
            parts.append(scanned.translate())
    together = kerchunk.combine.MultiZarrToZarr(
        parts,
        concat_dims=["time"],
        identical_dims=["x"],
        remote_protocol="file",
        inline_threshold=0,
    )
    text = json.dumps(together.translate()).replace(str(folder), "s3://retired-archive")
    combined = json.loads(text)
    (folder / "combined.json").write_text(json.dumps(combined))
    kerchunk.df.refs_to_dataframe(combined, str(folder / "combined.parquet"))
    with (folder / "one.grib2").open("wb") as file:
        write_message(file, random.normal(280, 10, (5, 8)), shortName="2t", level=2)
    (references,) = kerchunk.grib2.scan_grib(str(folder / "one.grib2"))
    (folder / "one.grib2").unlink()
    (folder / "grib.json").write_text(json.dumps(references))


def write_message(
    file, values: np.ndarray, sample: str = "regular_ll_pl_grib2", **keys: float | str
) -> None:
    """Append one GRIB message on a regular grid, made from a sample of ecCodes."""
    handle = eccodes.codes_grib_new_from_samples(sample)
    rows, columns = values.shape
    grid = {
        "Ni": columns,
        "Nj": rows,
        "latitudeOfFirstGridPointInDegrees": 60.0,
        "latitudeOfLastGridPointInDegrees": 60.0 - 2 * (rows - 1),
        "longitudeOfFirstGridPointInDegrees": 0.0,
        "longitudeOfLastGridPointInDegrees": 2.0 * (columns - 1),
        "iDirectionIncrementInDegrees": 2.0,
        "jDirectionIncrementInDegrees": 2.0,
    }
    for key, value in {**grid, "bitsPerValue": 16, **keys}.items():
        eccodes.codes_set(handle, key, value)
    eccodes.codes_set_values(handle, values.ravel())
    eccodes.codes_write(handle, file)
    eccodes.codes_release(handle)


def write_grib(folder: Path) -> None:
    """Forecasts of two runs: levels, steps, surface fields; an ensemble; what gets lost.

    ``ens_RUN.grib2``: three overlapping runs of two members.
    """
    random = np.random.default_rng(13)
    for run in (0, 6):
        with (folder / f"forecast_{run:02d}.grib2").open("wb") as file:
            for step in (0, 6, 12):
                time = {"dataDate": 20240101, "dataTime": run * 100, "stepRange": step}
                for level in (850, 500):
                    field = random.normal(270, 10, (5, 8))
                    on_level = {"typeOfLevel": "isobaricInhPa", "level": level}
                    write_message(file, field, shortName="t", **on_level, **time)
                    write_message(file, field, shortName="u", **on_level, **time)
                for name, height in [("2t", 2), ("10u", 10)]:
                    field = random.normal(280, 10, (5, 8))
                    write_message(file, field, shortName=name, level=height, **time)
    with (folder / "ensemble.grib2").open("wb") as file:
        for member in (0, 1, 2):
            keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": member}
            keys |= {"numberOfForecastsInEnsemble": 3, "shortName": "t", "level": 500}
            keys |= {"dataDate": 20240101, "dataTime": 0, "stepRange": 6}
            write_message(file, random.normal(270, 10, (5, 8)), **keys)
    write_ensemble_runs(folder)
    write_products(folder)
    with (folder / "analysis.grib1").open("wb") as file:
        for level in (850, 500):
            keys = {"shortName": "t", "level": level, "dataDate": 20240101}
            write_message(file, random.normal(270, 10, (5, 8)), "regular_ll_pl_grib1", **keys)
    with (folder / "two_grids.grib2").open("wb") as file:
        keys = {"level": 500, "dataDate": 20240101}
        write_message(file, random.normal(270, 10, (5, 8)), shortName="t", **keys)
        write_message(
            file,
            random.normal(5, 1, (5, 8)),
            "rotated_ll_pl_grib2",
            shortName="u",
            angleOfRotation=0.0,
            **keys,
        )
    with (folder / "no_increments.grib1").open("wb") as file:
        field = random.normal(270, 10, (5, 8))
        missing = {"iDirectionIncrement": 65535, "jDirectionIncrement": 65535}
        write_message(file, field, "regular_ll_pl_grib1", ijDirectionIncrementGiven=0, **missing)
    write_index(folder / "forecast_00.grib2")
    multi = eccodes.codes_grib_multi_new()
    for name in ("u", "v"):
        handle = eccodes.codes_grib_new_from_samples("regular_ll_pl_grib2")
        eccodes.codes_set(handle, "shortName", name)
        eccodes.codes_set(handle, "level", 500)
        count = eccodes.codes_get_size(handle, "values")
        eccodes.codes_set_values(handle, random.normal(0, 10, count))
        eccodes.codes_grib_multi_append(handle, 4, multi)
    with (folder / "multi_field.grib2").open("wb") as file:
        eccodes.codes_grib_multi_write(multi, file)


def write_ensemble_runs(folder: Path) -> None:
    """Runs six hours apart, each of three steps: two members, on two levels and near the ground."""
    random = np.random.default_rng(41)
    places = [{"shortName": name, "level": level} for name in "tu" for level in (850, 500)]
    places.append({"shortName": "2t", "level": 2})
    for run in (0, 6, 12):
        with (folder / f"ens_20240101T{run:02d}.grib2").open("wb") as file:
            for step in (0, 6, 12):
                for member in (0, 1):
                    keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": member}
                    keys |= {"numberOfForecastsInEnsemble": 2}
                    keys |= {"dataDate": 20240101, "dataTime": run * 100, "stepRange": step}
                    for place in places:
                        write_message(file, random.normal(270, 10, (5, 8)), **keys, **place)


def write_index(path: Path) -> None:
    """The index that NOAA publishes beside a GRIB file, as ``wgrib2 -s`` prints it."""
    lines = []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys = ("shortName", "level", "offset", "step", "typeOfLevel")
            name, level, offset, step, kind = (eccodes.codes_get(handle, key) for key in keys)
            name = {"t": "TMP", "2t": "TMP", "u": "UGRD", "10u": "UGRD"}[name]
            level = f"{level} mb" if kind == "isobaricInhPa" else f"{level} m above ground"
            step = f"{step} hour fcst" if step else "anl"
            lines.append(f"{len(lines) + 1}:{int(offset)}:d=2024010100:{name}:{level}:{step}:")
            eccodes.codes_release(handle)
    path.with_name(f"{path.name}.idx").write_text("\n".join([*lines, ""]))


def write_fits(folder: Path) -> None:
    """Three exposures (scaled, with BLANK), tables, a compressed image; a series with a WCS."""
    random = np.random.default_rng(17)
    for number in (1, 2, 3):
        image = fits.PrimaryHDU(random.integers(-30000, 30000, (6, 8)).astype("i2"))
        image.data[0, 0] = -32768
        image.header["BLANK"] = -32768
        image.header["BSCALE"], image.header["BZERO"] = 0.5, 100.0
        image.header["DATE-OBS"] = f"2024-01-0{number}T00:00:00"
        weight = fits.ImageHDU(random.random((6, 8)).astype("f4"), name="WEIGHT")
        fits.HDUList([image, weight]).writeto(folder / f"exposure_{number}.fits")
    image = fits.PrimaryHDU(np.arange(12, dtype="i4").reshape(3, 4))
    columns = [
        fits.Column("ID", "J", array=np.arange(3)),
        fits.Column("FLUX", "E", array=random.random(3)),
    ]
    tables = [
        fits.BinTableHDU.from_columns(columns, name="EVENTS"),
        fits.TableHDU.from_columns(
            [
                fits.Column("ID", "I6", array=np.arange(3)),
                fits.Column("MAG", "F8.3", array=[1, 2, 3]),
            ],
            name="CATALOG",
        ),
    ]
    fits.HDUList([image, *tables]).writeto(folder / "tables.fits")
    pixels = np.arange(10000, dtype="i4").reshape(100, 100)
    compressed = fits.CompImageHDU(pixels[:10, :10].copy(), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(folder / "compressed.fits")
    write_fits_series(folder)


def write_fits_series(folder: Path) -> None:
    """Unsigned counts of a CCD, as cameras write them, with their masks, on one grid of the sky."""
    random = np.random.default_rng(43)
    for number in range(4):
        counts = fits.PrimaryHDU(random.integers(0, 65535, (6, 8)).astype("u2"))
        counts.header["DATE-OBS"] = f"2024-03-0{number + 1}T22:00:00.500"
        counts.header["EXPTIME"] = 30.0 + number
        counts.header["FILTER"] = "gr"[number % 2]
        for axis, (kind, value) in enumerate([("RA---TAN", 202.47), ("DEC--TAN", 47.2)], 1):
            counts.header[f"CTYPE{axis}"] = kind
            counts.header[f"CRVAL{axis}"] = value
            counts.header[f"CRPIX{axis}"] = 4.0
            counts.header[f"CDELT{axis}"] = 0.0003 * (-1) ** axis
        mask = fits.ImageHDU((random.random((6, 8)) < 0.1).astype("u1"), name="MASK")
        fits.HDUList([counts, mask]).writeto(folder / f"ccd_{number}.fits")


def write_tiff(folder: Path) -> None:
    """Cloud-optimized GeoTIFFs of three dates, RGB in both layouts, strips, a mosaic of two."""
    random = np.random.default_rng(19)

    def geo(x: float, y: float) -> list[tuple]:
        keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
        return [
            (33550, "d", 3, (10.0, 10.0, 0.0), True),
            (33922, "d", 6, (0.0, 0.0, 0.0, x, y, 0.0), True),
            (34735, "H", len(keys), keys, True),
        ]

    tiled = {"tile": (32, 32), "compression": "zlib", "photometric": "minisblack"}
    for date in ("2024-01-05", "2024-02-05", "2024-03-05"):
        field = random.integers(1, 10000, (64, 96)).astype("u2")
        with tifffile.TiffWriter(folder / f"B04_{date}.tif") as file:
            tags = [*geo(300000.0, 5000000.0), (42113, "s", 2, "0", True)]
            field[:4, :4] = 0
            file.write(field, extratags=tags, predictor=2, **tiled)
            half = field[::2, ::2].copy()
            file.write(half, subfiletype=1, predictor=2, extratags=tags[-1:], **tiled)
    for number, x in enumerate((300000.0, 300640.0)):
        field = random.random((64, 64)).astype("f4")
        tifffile.imwrite(
            folder / f"mosaic_{number}.tif", field, extratags=geo(x, 5000000.0), **tiled
        )
    rgb = random.integers(0, 255, (64, 64, 3)).astype("u1")
    color = {"tile": (32, 32), "compression": "zlib", "photometric": "rgb"}
    tifffile.imwrite(folder / "rgb.tif", rgb, **color)
    tifffile.imwrite(
        folder / "rgb_planar.tif", np.moveaxis(rgb, -1, 0).copy(), planarconfig="separate", **color
    )
    band = random.integers(0, 1000, (64, 64)).astype("u2")
    (folder / "B02.jp2").write_bytes(
        imagecodecs.jpeg2k_encode(band, codecformat="jp2", reversible=True)
    )
    strips = random.integers(0, 1000, (50, 40)).astype("u2")
    tifffile.imwrite(folder / "strips.tif", strips, rowsperstrip=16)
    tifffile.imwrite(folder / "strips_zlib.tif", strips, rowsperstrip=16, compression="zlib")
    jpeg = {"compression": "jpeg", "tile": (32, 32)}
    tifffile.imwrite(folder / "ycbcr.tif", rgb, photometric="ycbcr", **jpeg)
    items = "".join(
        f'<Item name="{role.upper()}" sample="0" role="{role}">{value}</Item>'
        for role, value in [("scale", 0.1), ("offset", 5)]
    )
    tags = [(42112, "s", 0, f"<GDALMetadata>{items}</GDALMetadata>", True)]
    tifffile.imwrite(folder / "scaled.tif", field[:32, :32].astype("i2"), extratags=tags, **tiled)


DMRPP = """<?xml version="1.0" encoding="ISO-8859-1"?>
<Dataset xmlns="http://xml.opendap.org/ns/DAP/4.0#"
  xmlns:dmrpp="http://xml.opendap.org/dap/dmrpp/1.0.0#" name="{name}">
  <Dimension name="y" size="4"/>
  <Dimension name="x" size="6"/>
{variables}
</Dataset>
"""
DMRPP_VARIABLE = """  <{kind} name="{name}">
    {dims}
    <Attribute name="units" type="String"><Value>K</Value></Attribute>
    <dmrpp:chunks {compression} byteOrder="{order}">
      <dmrpp:chunkDimensionSizes>{sizes}</dmrpp:chunkDimensionSizes>
      {chunks}
    </dmrpp:chunks>
  </{kind}>"""


def write_dmrpp(folder: Path) -> None:
    """A granule with its DMR++ sidecar, as OPeNDAP's ``get_dmrpp`` writes it."""
    random = np.random.default_rng(23)
    with h5py.File(folder / "granule.h5", "w") as file:
        data = random.random((4, 6)).astype("f4")
        file.create_dataset("t", data=data, chunks=(2, 6), compression="gzip", shuffle=True)
        file.create_dataset("big", data=np.arange(24).reshape(4, 6), dtype=">i4", chunks=(4, 6))
        file["offset"] = np.float32(45)
        file["record"] = np.zeros(4, [("id", "<i4"), ("value", "<f8")])
        for name in ("t", "big"):
            for axis, scale in enumerate("yx"):
                file[name].dims[axis].label = scale
    variables = []
    with h5py.File(folder / "granule.h5") as file:
        for name, kind, order in [("t", "Float32", "LE"), ("big", "Int32", "BE")]:
            item = file[name].id
            chunks = [item.get_chunk_info(n) for n in range(item.get_num_chunks())]
            variables.append(
                DMRPP_VARIABLE.format(
                    kind=kind,
                    name=name,
                    order=order,
                    dims='<Dim name="/y"/> <Dim name="/x"/>',
                    compression='compressionType="shuffle deflate"' if name == "t" else "",
                    sizes=" ".join(map(str, file[name].chunks)),
                    chunks="\n      ".join(
                        f'<dmrpp:chunk offset="{chunk.byte_offset}" nBytes="{chunk.size}" '
                        f'chunkPositionInArray="[{",".join(map(str, chunk.chunk_offset))}]"/>'
                        for chunk in chunks
                    ),
                )
            )
        offset, size = file["offset"].id.get_offset(), file["offset"].id.get_storage_size()
    variables.append(
        f"""  <Float32 name="offset">
    <dmrpp:chunks byteOrder="LE"><dmrpp:chunk offset="{offset}" nBytes="{size}"/></dmrpp:chunks>
  </Float32>
  <Structure name="record"><Int32 name="id"/><Float64 name="value"/><Dim name="/y"/></Structure>"""
    )
    text = DMRPP.format(name="granule.h5", variables="\n".join(variables))
    (folder / "granule.h5.dmrpp").write_text(text)
    write_grouped_dmrpp(folder)


def write_grouped_dmrpp(folder: Path) -> None:
    """``t`` in the root and in the group ``inner``, and an enumeration."""
    flags = h5py.enum_dtype({"clear": 0, "cloudy": 1}, "u1")
    with h5py.File(folder / "grouped.h5", "w") as file:
        file["t"] = np.arange(24, dtype="f4").reshape(4, 6)
        file["inner/t"] = np.arange(24, 48, dtype="f4").reshape(4, 6)
        file.create_dataset("flag", data=np.arange(24).reshape(4, 6) % 2, dtype=flags)
        written = {}
        for name, kind in [("t", "Float32"), ("inner/t", "Float32"), ("flag", "Enum")]:
            item = file[name].id
            place = f'offset="{item.get_offset()}" nBytes="{item.get_storage_size()}"'
            enum = ' enum="/flag_t"' if kind == "Enum" else ""
            written[name] = f"""<{kind} name="{name.rpartition("/")[2]}"{enum}>
    <Dim name="/y"/> <Dim name="/x"/>
    <dmrpp:chunks byteOrder="LE"><dmrpp:chunk {place}/></dmrpp:chunks>
  </{kind}>"""
    variables = f"""  <Enumeration name="flag_t" basetype="Byte">
    <EnumConst name="clear" value="0"/> <EnumConst name="cloudy" value="1"/>
  </Enumeration>
  {written["t"]}
  {written["flag"]}
  <Group name="inner">
  {written["inner/t"]}
  </Group>"""
    text = DMRPP.format(name="grouped.h5", variables=variables)
    (folder / "grouped.h5.dmrpp").write_text(text)


class Chunks(ctypes.Structure):
    """``HDF_CHUNK_DEF`` of mfhdf.h for compressed chunks; ``rest`` is longer than any it has."""

    _fields_ = (
        ("lengths", ctypes.c_int32 * 32),
        ("compression", ctypes.c_int32),
        ("model", ctypes.c_int32),
        ("level", ctypes.c_int32),
        ("rest", ctypes.c_int32 * 16),
    )


def set_chunks(dataset: SDS, lengths: tuple[int, ...]) -> None:
    """Deflated chunks: pyhdf has no call for them, the HDF4 library that it brings along does."""
    (library,) = (file for file in files("pyhdf") if "libmfhdf" in file.name)
    call = ctypes.CDLL(str(library.locate())).SDsetchunk
    call.argtypes = [ctypes.c_int32, Chunks, ctypes.c_int32]
    compressed_chunks = 3
    assert call(dataset._id, Chunks(lengths, SDC.COMP_DEFLATE, 0, 5), compressed_chunks) == 0


def write_hdf4(folder: Path) -> None:
    """Two compressed SDS (int16 and float32), a file with some that are not compressed.

    ``mixed.hdf``: one that can be virtual, one of three dimensions, one never written.
    ``chunked.hdf``: four chunks, of which two were written.
    """
    random = np.random.default_rng(29)
    kinds = [("count", SDC.INT16, "i2"), ("flux", SDC.FLOAT32, "f4")]
    for name, deflate in [("granule.hdf", True), ("plain.hdf", False)]:
        file = SD(str(folder / name), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
        for variable, kind, dtype in kinds:
            dataset = file.create(variable, kind, (4, 6))
            if deflate:
                dataset.setcompress(SDC.COMP_DEFLATE, 5)
            dataset[:] = (100 * random.random((4, 6))).astype(dtype)
            dataset.endaccess()
        file.end()
    file = SD(str(folder / "mixed.hdf"), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    for variable, shape in [("count", (4, 6)), ("cube", (2, 4, 6)), ("never", (4, 6))]:
        dataset = file.create(variable, SDC.INT16, shape)
        dataset.setfillvalue(-99)
        dataset.setcompress(SDC.COMP_DEFLATE, 5)
        if variable != "never":
            dataset[:] = random.integers(0, 100, shape).astype("i2")
        dataset.endaccess()
    file.end()
    file = SD(str(folder / "chunked.hdf"), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    dataset = file.create("part", SDC.INT16, (8, 6))
    dataset.setfillvalue(-99)
    set_chunks(dataset, (2, 6))
    dataset[:4] = random.integers(0, 100, (4, 6)).astype("i2")
    dataset.endaccess()
    file.end()


def write_envi(folder: Path) -> None:
    """Raw images of three bands in each interleave, with their ENVI headers; a spectral library."""
    random = np.random.default_rng(31)

    def write(name: str, values: np.ndarray, **fields: object) -> None:
        values.tofile(folder / name)
        header = {"header offset": 0, "file type": "ENVI Standard", "byte order": 0}
        header |= {key.replace("_", " "): value for key, value in fields.items()}
        lines = [f"{key} = {value}" for key, value in header.items()]
        (folder / name).with_suffix(".hdr").write_text("\n".join(["ENVI", *lines, ""]))

    size = {"samples": 5, "lines": 4, "bands": 3, "data_type": 2}
    bands = random.integers(0, 4000, (3, 4, 5)).astype("<i2")
    waves = "{ 450, 550, 650 }"
    write("scene.img", bands, interleave="bsq", wavelength=waves, **size)
    write("lines.img", bands.transpose(1, 0, 2), interleave="bil", wavelength=waves, **size)
    write("pixels.img", bands.transpose(1, 2, 0), interleave="bip", wavelength=waves, **size)
    spectra = random.random((2, 6)).astype("<f4")
    size = {"samples": 6, "lines": 2, "bands": 1, "data_type": 4, "interleave": "bsq"}
    write("spectra.sli", spectra, file_type="ENVI Spectral Library", **size)


def write_npy(folder: Path) -> None:
    """NumPy's own format, which no parser reads."""
    random = np.random.default_rng(37)
    for number in (1, 2):
        np.save(folder / f"frame_{number}.npy", random.random((4, 6)).astype(">f4"))
