"""What was met in files that nobody here chose, each class of it made small."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import pyhdf.VS  # noqa: F401  (gives HDF its vstart)
import pytest
import tifffile
import xarray as xr
import zarr
from astropy.io import fits
from harness import warm_start
from making import Recipe
from pyhdf.HDF import HC, HDF
from pyhdf.SD import SD, SDC
from vzarr.changes.build import build
from vzarr.changes.build_state import Built
from vzarr.commands.inspect import inspect_files
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access
from vzarr.virtualize.probe import _probe_parts

DATA = Path(__file__).parents[2] / "data"


def verified(path: Path, drop: tuple[str, ...] = ()) -> Built:
    """Built beside the file, compared in full, and seen alike by ``inspect``."""
    built = build([str(path)], f"{path}.repo", Access(), drop=drop)
    report = verify_repository(f"{path}.repo", Access(), sample=None)
    assert report.failures == []
    if not drop:
        (found,) = inspect_files([str(path)], Access()).sets
        virtual = {name for name, v in found.variables.items() if v.storage == "virtual"}
        assert virtual >= set(built.virtual)
    return built


def refused(path: Path, drop: tuple[str, ...] = ()) -> str:
    """The sentence, the same from ``build`` and ``inspect``; nothing is left behind."""
    with pytest.raises((InputError, Refused)) as caught:
        build([str(path)], f"{path}.repo", Access(), drop=drop)
    assert not Path(f"{path}.repo").exists()
    if not drop:
        inspected = inspect_files([str(path)], Access())
        assert list(inspected.unreadable.values()) == [str(caught.value)]
    return str(caught.value)


def stored(path: Path, group: str | None = None) -> xr.Dataset:
    access = {f"file://{path.parent}/": icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(f"{path}.repo")
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return xr.open_zarr(repo.readonly_session("main").store, group=group, consolidated=False)


def test_what_netcdf_does_not_know_spoils_nothing_else_in_an_hdf5_file(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        values = file.create_dataset("values", data=np.arange(6.0).reshape(2, 3))
        values.attrs["see"] = values.ref
        values.attrs["units"] = "m"
        file["nowhere"] = h5py.SoftLink("/gone")
        file["elsewhere"] = h5py.ExternalLink("gone.h5", "/x")
        file["nothing"] = h5py.Empty("f4")
        file.attrs["empty"] = h5py.Empty("S1")
    built = verified(path)
    assert built.virtual == ["values"]
    assert set(built.dropped) == {"nowhere", "elsewhere", "nothing"}
    assert "null dataspace" in built.dropped["nothing"]
    assert stored(path)["values"].attrs == {"units": "m"}


def test_an_external_link_is_copied(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.arange(4)
    with h5py.File(path, "w") as file:
        file["far"] = h5py.ExternalLink("other.h5", "/x")
        file["near"] = np.arange(3)
    built = verified(path)
    assert built.virtual == ["near"]
    assert "another file" in built.native["far"]


def test_all_variables_that_zarr_has_no_type_for_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.arange(3)
        file["group/two words"] = np.array([(1, [2, 3])], [("a", "i4"), ("b", "f8", (2,))])
        file.create_dataset("ragged", (2,), h5py.vlen_dtype("i4"))
        file.create_dataset("links", (1,), h5py.ref_dtype)[0] = file["values"].ref
    sentence = refused(path)
    options = re.findall(r"--drop ('[^']*'|[^ .]+)", sentence)
    assert sorted(options) == ["'group/two words'", "links", "ragged"]
    built = verified(path, drop=("group/two words", "links", "ragged"))
    assert built.virtual == ["values"]
    assert {"links", "ragged"} <= built.dropped.keys()


def test_single_letters_and_odd_attributes(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["letter"] = np.array([[b"A"]], "S1")
        file["v"] = np.arange(3)
        file["v"].attrs["coordinates"] = np.array([b"a", b"b"])
        file["text"] = np.array([b"abc", b"de"], "S3")
        file["text"].attrs["_FillValue"] = np.bytes_(b"de")
        pairs = h5py.h5t.array_create(h5py.h5t.NATIVE_INT16, (2,))
        space = h5py.h5s.create_simple((3,))
        array = h5py.h5d.create(file.id, b"pairs", pairs, space)
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(6, dtype="i2").reshape(3, 2), pairs)
        file["v"].attrs["flags"] = np.array([b"x", b"y"])
        file["wide"] = np.arange(3, dtype="u2")
        file["wide"].attrs["_FillValue"] = 2147483647
    built = verified(path)
    assert set(built.virtual) >= {"v", "wide"} - set(built.native)
    ds = stored(path)
    assert ds["letter"].values.tolist() == ["A"]
    assert ds["wide"].values.tolist() == [0, 1, 2]
    assert ds["text"].values.tolist() == [b"abc", b"de"]
    assert ds["pairs"].values.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert ds["v"].attrs["flags"] == ["x", "y"]


def test_bounds_of_a_time_that_is_no_coordinate(tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time_counter", None)
        file.createDimension("two", 2)
        time = file.createVariable("time_instant", "f8", ("time_counter",))
        time.setncatts({"units": "seconds since 1900-01-01", "bounds": "time_bounds"})
        time[:] = [3e9, 3e9 + 60]
        bounds = file.createVariable("time_bounds", "f8", ("time_counter", "two"))
        bounds[:] = [[3e9, 3e9 + 60], [3e9 + 60, 3e9 + 120]]
        file.createVariable("v", "f4", ("time_counter",))[:] = [1, 2]
    verified(path)
    with xr.open_dataset(path) as source:
        assert (stored(path)["time_bounds"].values == source["time_bounds"].values).all()


def test_attributes_whose_names_are_padded(tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    path.write_bytes((DATA / "ref_nctest_64bit_offset.nc").read_bytes())
    verified(path)
    with netCDF4.Dataset(path) as source:
        assert set(source.ncattrs()) == stored(path).attrs.keys()


def test_netcdf3_that_ends_early_is_refused(tmp_path: Path) -> None:
    """netCDF-C reads zeros there."""
    path = tmp_path / "file.nc"
    whole = Recipe(format="NETCDF3_CLASSIC").write(path).read_bytes()
    path.write_bytes(whole[:-10])
    sentence = refused(path)
    assert f"the file at {len(whole) - 10}: it is incomplete; fetch it again" in sentence


def test_formats_side_by_side_are_read_each_by_its_own(tmp_path: Path) -> None:
    for number, form in enumerate(["NETCDF4", "NETCDF3_CLASSIC", "NETCDF4"]):
        Recipe(start=2 * number, format=form).write(tmp_path / f"{number}.nc")
    built = build([f"{tmp_path}/*.nc"], str(tmp_path / "repo"), Access(), skip_bad=True)
    assert len(built.sources) + len(built.left_out) == 3
    assert not any("cannot be read" in sentence for sentence in built.left_out)


def test_many_chunks_are_compared_at_both_ends() -> None:
    truth = xr.DataArray(np.zeros((5000, 2), "i1"), dims=("a", "b"))
    assert _probe_parts(truth, (5000, 2)) == [{}]
    assert _probe_parts(truth, (1, 1)) == [{"a": slice(0, 500)}, {"a": slice(4500, 5000)}]


def write_fits(path: Path, *hdus) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def test_fits_columns_of_varying_length(tmp_path: Path) -> None:
    ragged = np.array([np.array([True, False]), np.array([True])], object)
    columns = [fits.Column("flag", "PL()", array=ragged), fits.Column("n", "J", array=[1, 2])]
    path = write_fits(tmp_path / "t.fits", fits.BinTableHDU.from_columns(columns, name="T"))
    assert "--drop T/flag" in refused(path)
    built = verified(path, drop=("T/flag",))
    assert list(built.native) == ["T/n"]


def test_what_netcdf_c_makes_up_or_cannot_read_is_read_by_another(tmp_path: Path) -> None:
    """Chunks never written, without a fill value: whatever lies in memory. A scale too long."""
    path = tmp_path / "a.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 40_000)
        file.createDimension("y", 3)
        file.createVariable("y", "f8", ("y",))[:] = [1, 2, 3]
        file.createVariable("never", "i4", ("x",), chunksizes=(20_000,), fill_value=False)
        file.createVariable("short", "f8", ("y",), chunksizes=(3,))[:] = [1, 2, 3]
    with h5py.File(path, "r+") as file:
        del file["short"]
        file.create_dataset("short", data=[1.0, 2.0], chunks=(2,), maxshape=(3,))
        file["short"].dims[0].attach_scale(file["y"])
    built = verified(path)
    assert (built.virtual, list(built.native)) == (["never"], ["short"])


def test_scale_factor_of_zero(tmp_path: Path) -> None:
    """Of MODIS's error fields, whose scale and offset were mixed up; HDF4 that has to be copied."""
    path = tmp_path / "a.hdf"
    file = SD(str(path), SDC.WRITE | SDC.CREATE | SDC.TRUNC)
    error = file.create("error", SDC.INT16, (2, 3))
    error.attr("scale_factor").set(SDC.FLOAT64, 0.0)
    error.attr("add_offset").set(SDC.FLOAT64, 1e-4)
    error.setfillvalue(-9999)
    error[:] = np.array([[-9999, 0, 1], [2, 3, 4]], "i2")
    error.endaccess()
    file.end()
    assert list(verified(path).native) == ["error"]
    expected = [[np.nan, 1e-4, 1e-4], [1e-4, 1e-4, 1e-4]]
    np.testing.assert_array_equal(stored(path)["error"], expected)


def test_attributes_of_groups_without_variables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["science/v"] = np.arange(4.0)
        file["science"].attrs["kept"] = "yes"
        file.create_group("metadata/product").attrs["id"] = "granule 7"
        file.create_group("empty")
    (note,) = verified(path).notes
    assert note == "left out: attributes of groups without variables: metadata/product"
    assert stored(path, "science").attrs["kept"] == "yes"


def test_fits_random_groups(tmp_path: Path) -> None:
    data = fits.GroupData(
        np.zeros((3, 1, 2), "f4"), parnames=["U"], pardata=[[1, 2, 3]], bitpix=-32
    )
    path = tmp_path / "uv.fits"
    image = fits.ImageHDU(np.arange(4, dtype="i2"), name="MAP")
    fits.HDUList([fits.GroupsHDU(data), image]).writeto(path)
    assert "random groups" in refused(path)
    assert verified(path, drop=("PRIMARY",)).virtual == ["MAP"]


def test_fits_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "i.fits"
    fits.PrimaryHDU(np.zeros((100, 100))).writeto(path)
    path.write_bytes(path.read_bytes()[:6000])
    assert "incomplete; fetch it again" in refused(path)


def test_hdf4_datasets_of_one_name_and_tables(tmp_path: Path) -> None:
    path = tmp_path / "swaths.hdf"
    file = SD(str(path), SDC.WRITE | SDC.CREATE)
    for length in (3, 5):
        dataset = file.create("temperature", SDC.FLOAT32, (length,))
        dataset[:] = np.arange(length, dtype="f4") + length
        dataset.endaccess()
    file.end()
    file = HDF(str(path), HC.WRITE)
    tables = file.vstart()
    table = tables.create("pressure", [("hPa", HC.FLOAT32, 1), ("pair", HC.INT16, 2)])
    table.write([[1000.0, [1, 2]], [500.0, [3, 4]]])
    table.detach()
    tables.end()
    file.close()
    built = verified(path)
    ds = stored(path)
    assert ds["temperature"].values.tolist() == [3, 4, 5]
    assert ds["temperature_1"].values.tolist() == [5, 6, 7, 8, 9]
    assert {"vdata/pressure/hPa", "vdata/pressure/pair"} <= built.native.keys()
    table = stored(path, "vdata/pressure")
    assert table["hPa"].values.tolist() == [1000, 500]
    assert table["pair"].values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("what", ["count", "kind", "offsets", "width"])
def test_damaged_tiff_directories_never_reach_the_parser(tmp_path: Path, what: str) -> None:
    """The parser's Rust part ends the process when it cannot have the memory that they ask for."""
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((64, 64), "u1"), rowsperstrip=8, byteorder="<")
    with tifffile.TiffFile(path) as tiff:
        tags = {tag.code: tag.offset for tag in tiff.pages[0].tags}
    data = bytearray(path.read_bytes())
    at, field, value = {
        "count": (tags[273], 4, 2**31),
        "kind": (tags[256], 2, 999),
        "offsets": (tags[273], 4, 3),
        "width": (tags[256], 8, 2**30),
    }[what]
    size = 2 if field == 2 else 4
    data[at + field : at + field + size] = value.to_bytes(size, "little")
    path.write_bytes(data)
    assert "damaged" in refused(path)


def test_a_damaged_grib_message_between_others(tmp_path: Path) -> None:
    """ecCodes passes over it."""
    path = tmp_path / "file.grib"
    whole = (DATA / "era5_levels_members.grib").read_bytes()
    second = whole.index(b"GRIB", 4)
    path.write_bytes(whole[: second + 4] + b"\xff\xff\xff" + whole[second + 7 :])
    sentence = refused(path)
    assert "fetch" in sentence


def test_zarr_without_names_of_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "plain.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("v", data=np.arange(12).reshape(3, 4), chunks=(2, 4))
    assert verified(path).virtual == ["v"]
    assert "without a group" in refused(path / "v")
    torn = path.rename(tmp_path / "torn.zarr")
    (torn / "v" / ".zarray").write_text("{,}")
    assert ": v cannot be opened" in refused(torn)
    single = tmp_path / "single.zarr"
    zarr.create_array(single, data=np.arange(3))
    assert "without a group" in refused(single)


def test_libraries_write_nothing_beside_the_sentence(tmp_path: Path) -> None:
    """ecCodes, HDF5 and panics of Rust write into stderr past Python."""
    whole = (DATA / "era5_levels_members.grib").read_bytes()
    path = tmp_path / "file.grib"
    path.write_bytes(whole[: len(whole) // 2 + 100])
    done = warm_start.run("build", path, "--repo", tmp_path / "repo", "--quiet")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("virtual_zarr.py: ")
    assert "fetch the file again" in line


def test_scales_listed_as_hdf5_does_not(tmp_path: Path) -> None:
    for number in range(2):
        with h5py.File(tmp_path / f"{number}.h5", "w") as file:
            values = file.create_dataset("values", data=np.arange(3.0) + number)
            scale = file.create_dataset("x", data=np.arange(3))
            values.attrs["DIMENSION_LIST"] = np.array([scale.ref], h5py.ref_dtype)
    built = build([f"{tmp_path}/*.h5"], str(tmp_path / "repo"), Access(), concat_dim="file")
    assert len(built.sources) == 2
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []


def test_complex_pixels_with_a_missing_value(tmp_path: Path) -> None:
    path = tmp_path / "radar.tif"
    nodata = (42113, "s", 0, "0", True)
    pixels = np.array([[1 + 2j, 0], [3, 4j]], "c8")
    tifffile.imwrite(path, pixels, extratags=[nodata], metadata=None)
    verified(path)
    json.dumps(inspect_files([str(path)], Access()).as_json())
