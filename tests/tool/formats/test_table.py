"""Each row of the table in ``references/formats.md``: the tool takes it, or says what to do."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

import icechunk
import numpy as np
import pytest
from vzarr.changes.build import build
from vzarr.commands.inspect import inspect_files
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access

ROOT = Path(__file__).parents[3]
TAKEN = {
    "NetCDF3": ["netcdf3/stations.nc", "netcdf3/wide.nc"],
    "NetCDF4, HDF5": ["hdf5/granule_0.nc", "hdf5/hides.h5", "hdf5/no_scales.h5", "hdf5/lzf.h5"],
    "Zarr 2, 3, sharded": ["zarr/v2.zarr", "zarr/v3.zarr", "zarr/sharded.zarr", "zarr/groups.zarr"],
    "Zarr zip": ["zarr/stored.zip"],
    "kerchunk": ["kerchunk/sst_1.json", "kerchunk/sst_1.parquet"],
    "GRIB": ["grib/forecast_00.grib2", "grib/analysis.grib1", "grib/ens_20240101T00.grib2"],
    "FITS": ["fits/ccd_0.fits", "fits/tables.fits", "fits/compressed.fits"],
    "GeoTIFF, COG": ["tiff/B04_2024-01-05.tif", "tiff/rgb.tif", "tiff/strips.tif"],
    "DMR++": ["dmrpp/granule.h5.dmrpp"],
    "HDF4": ["hdf4/granule.hdf", "hdf4/plain.hdf"],
    "ENVI": ["envi/scene.hdr", "envi/scene.img"],
}
"""What the tool reads right, by the name of the row; what cannot be virtual in it is copied."""
REFUSED = {
    "Zarr zip": {"zarr/deflated.zip": "zip it again without compression"},
    "Icechunk": {"repository": "open it as it is, or see references/formats-zarr.md"},
    "gzip, bzip2": {
        "kerchunk/sst_1.nc.gz": "decompress it (gunzip)",
        "sst.nc.bz2": "decompress it (bunzip2)",
    },
    "JPEG 2000": {"tiff/B02.jp2": "convert it to a tiled GeoTIFF (gdal_translate -of COG)"},
    "CSV, Parquet, GeoPackage, shapefile": {
        "stations.csv": "plain text, as CSV",
        "kerchunk/sst_1.parquet/sst/refs.0.parq": "tables hold no arrays in chunks",
        "map.gpkg": "tables hold no arrays in chunks",
        "map.shp": "tables hold no arrays in chunks",
    },
    "anything else": {
        "npy/frame_1.npy": "there is no parser for it",
        "noise": "of a format that is not known here",
    },
}
"""What it refuses, and the words that say what to do."""


def rows() -> list[str]:
    """The formats that the page's table of what works names."""
    text = (ROOT / "references" / "formats.md").read_text()
    table = text.partition("\n## What works\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (?!Format|---)(.*?) \|", table, flags=re.MULTILINE)
    return [re.sub(r"\[([^]]+)\].*", r"\1", cell) for cell in cells]


def test_every_row_of_the_table_is_here() -> None:
    assert set(rows()) == {*TAKEN, *REFUSED}


@pytest.fixture
def folder(format_folder: Path, tmp_path: Path) -> Path:
    """A copy of the samples; the references of kerchunk lead to where they lie."""
    place = tmp_path / "formats"
    shutil.copytree(format_folder, place)
    return place


def sentence_of_refusal(path: Path, repository: Path) -> str:
    with pytest.raises((InputError, Refused)) as raised:
        build([str(path)], str(repository), Access())
    assert not repository.exists()
    assert path.name in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("name", [name for names in TAKEN.values() for name in names])
def test_format_is_inspected_built_and_verified(name: str, folder: Path, tmp_path: Path) -> None:
    path = folder / name
    access = Access()
    inspected = inspect_files([str(path)], access)
    assert inspected.unreadable == {}
    (found,) = inspected.sets
    built = build([str(path)], str(tmp_path / "repo"), access)
    kinds = {variable: found.variables[variable].storage for variable in found.variables}
    assert {key for key, kind in kinds.items() if kind == "virtual"} == set(built.virtual)
    report = verify_repository(str(tmp_path / "repo"), access, sample=None)
    assert report.failures == []
    assert report.values


@pytest.mark.parametrize(
    ("name", "words"), [pair for names in REFUSED.values() for pair in names.items()]
)
def test_format_is_refused_with_what_to_do(
    name: str, words: str, folder: Path, tmp_path: Path
) -> None:
    path = folder / name
    if name == "repository":
        icechunk.Repository.create(icechunk.local_filesystem_storage(str(path)))
    elif not path.exists():
        heads = {
            "sst.nc.bz2": b"BZh91AY&SY",
            "stations.csv": b"station,t\nA,280.1\n" * 9,
            "map.gpkg": b"SQLite format 3\0",
            "map.shp": b"\0\0\x27\x0a",
            "noise": b"\x01\xfe" * 9,
        }
        path.write_bytes(heads[name] + bytes(100) * (name != "stations.csv"))
    assert words in sentence_of_refusal(path, tmp_path / "repo")
    (sentence,) = inspect_files([str(path)], Access()).unreadable.values()
    assert words in sentence


def test_zip_that_was_packed_again_is_taken(folder: Path, tmp_path: Path) -> None:
    path = folder / "zarr" / "again.zip"
    with (
        zipfile.ZipFile(folder / "zarr" / "deflated.zip") as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    build([str(path)], str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []


def test_bands_of_a_jpeg_2000_are_taken_from_a_copy(folder: Path, tmp_path: Path) -> None:
    import imagecodecs
    import tifffile

    pixels = imagecodecs.jpeg2k_decode((folder / "tiff" / "B02.jp2").read_bytes())
    copy = folder / "tiff" / "B02.tif"
    tifffile.imwrite(copy, pixels, tile=(32, 32), compression="jpeg2000")
    assert build([str(copy)], str(tmp_path / "repo"), Access()).virtual == ["image"]
    assert np.array_equal(tifffile.imread(copy), pixels)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []
