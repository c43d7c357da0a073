"""Real files: each parser does by default what ``references/formats.md`` says.

The files of ``tests/data`` are always there. The larger corpus of files that nobody here made lies
beside the repository, or where ``VIRTUAL_ZARR_CORPUS`` says; its manifest tells what to expect.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import pytest
import tifffile
import virtualizarr.parsers
import xarray as xr
from astropy.io import fits
from gribberish.virtualizarr import GribberishParser
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtual_tiff import VirtualTIFF
from virtualizarr import open_virtual_datatree
from virtualizarr.parsers import FITSParser, HDFParser, NetCDF3Parser

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
CORPUS = Path(os.environ.get("VIRTUAL_ZARR_CORPUS", ROOT.parent / "shared" / "corpus"))
PARSERS = {**vars(virtualizarr.parsers), "VirtualTIFF": VirtualTIFF}
PARSERS["GribberishParser"] = GribberishParser

Arrays = dict[str, np.ndarray]


def through_icechunk(path: Path, parser: Callable) -> Arrays:
    """Parse every group, commit, open again, read every array without decoding."""
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    tree = open_virtual_datatree(f"file://{path}", registry=registry, parser=parser)
    prefix = f"file://{path.parent}/"
    config = icechunk.RepositoryConfig.default()
    store = icechunk.local_filesystem_store(prefix)
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    repo = icechunk.Repository.create(
        icechunk.in_memory_storage(),
        config,
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    with repo.transaction("main", message="all") as store:
        tree.vz.to_icechunk(store)
    stored = xr.open_datatree(
        repo.readonly_session("main").store,
        engine="zarr",
        consolidated=False,
        decode_cf=False,
    )
    return {
        f"{node.path.rstrip('/')}/{name}": variable.values
        for node in stored.subtree
        for name, variable in node.to_dataset(inherit=False).variables.items()
    }


def netcdf(path: Path) -> Arrays:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return {f"/{name}": variable[...] for name, variable in file.variables.items()}


def hdf5(path: Path) -> Arrays:
    found: Arrays = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[f"/{name}"] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def fits_images(path: Path) -> Arrays:
    with fits.open(path) as file:
        return {
            f"/{hdu.name}" + (f"_{hdu.ver}" if hdu.ver > 1 else ""): hdu.data
            for hdu in file
            if hdu.data is not None
        }


@pytest.mark.parametrize(
    ("name", "parser", "native"),
    [
        ("air.nc", HDFParser(), netcdf),
        ("hdf5_compression_zstd.h5", HDFParser(), hdf5),
        ("ref_szip.h5", HDFParser(drop_variables=["dset_szip"]), lambda path: {}),
        ("ref_tst_dims.nc", HDFParser(drop_variables=["lat"]), lambda path: {}),
        ("test0.fits", FITSParser(), fits_images),
        ("btable.fits", FITSParser(skip_variables=["1"]), lambda path: {}),
    ],
)
def test_stored_values_equal_the_native_reader_s(
    name: str, parser: Callable, native: Callable[[Path], Arrays]
) -> None:
    expected = native(DATA / name)
    stored = through_icechunk(DATA / name, parser)
    assert set(stored) == set(expected)
    for key, values in expected.items():
        if key not in ("/time", "/lat", "/lon"):  # loaded, so encoded anew
            np.testing.assert_array_equal(stored[key], values)


def test_names_padded_with_nul() -> None:
    expected = netcdf(DATA / "ref_nctest_64bit_offset.nc")
    stored = through_icechunk(DATA / "ref_nctest_64bit_offset.nc", NetCDF3Parser())
    assert "/yy\0" in stored
    assert {name.rstrip("\0") for name in stored} == set(expected)


def test_grib_members_of_a_real_file() -> None:
    path = DATA / "era5_levels_members.grib"
    stored = through_icechunk(path, GribberishParser())
    with xr.open_dataset(path, engine="cfgrib", indexpath="") as source:
        (values,) = [stored[name] for name in stored if name.endswith("/z")]
        np.testing.assert_allclose(values.squeeze(), source.z.values, rtol=1e-6)


def test_pixels_of_the_planes_are_the_tiff_s() -> None:
    with pytest.raises(TypeError, match="takes no arguments"):
        through_icechunk(DATA / "RGBA.uint16.tif", VirtualTIFF(ifd=0))
    assert tifffile.imread(DATA / "RGBA.uint16.tif").shape[-1] == 4


def corpus() -> Iterator[dict[str, str]]:
    manifest = CORPUS / "manifest.csv"
    if manifest.exists():
        with manifest.open(newline="") as file:
            yield from csv.DictReader(file)


@pytest.mark.parametrize("row", list(corpus()), ids=lambda row: Path(row["path"]).name)
def test_the_default_call_does_what_the_manifest_says(row: dict[str, str]) -> None:
    if "67.1 GiB" in row["message_or_effect"]:
        pytest.skip("would take that memory; tests/data has the file with the way round")
    parser = PARSERS[row["parser"].partition("(")[0]]()
    if row["expected_default"] in ("error", "read-error"):
        with pytest.raises(Exception) as raised:  # noqa: PT011 - the message is compared
            through_icechunk(CORPUS / row["path"], parser)
        message = f"{type(raised.value).__name__}: {raised.value}"
        assert row["message_or_effect"].removeprefix("MemoryError: ") in message
    else:
        assert through_icechunk(CORPUS / row["path"], parser)
