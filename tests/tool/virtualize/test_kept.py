"""What a copy keeps of its source beside values, and text that is padded or was never written."""

from __future__ import annotations

import json
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import tifffile
import xarray as xr
from kerchunk.hdf import SingleHdf5ToZarr
from vzarr.changes.build import build
from vzarr.commands.migrate import migrate
from vzarr.commands.verify import verify_repository
from vzarr.sources.schemes import Access

KEYS = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32631)
TAGS = [
    (33550, "d", 3, (10.0, 10.0, 0.0)),
    (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 4.6e6, 0.0)),
    (34735, "H", 16, KEYS),
]


def attributes(repository: Path) -> dict:
    storage = icechunk.local_filesystem_storage(str(repository))
    store = icechunk.Repository.open(storage).readonly_session("main").store
    return dict(xr.open_zarr(store, consolidated=False)["image"].attrs)


@pytest.mark.parametrize("layout", ["interleaved", "short strip", "short compressed strip"])
def test_a_copied_image_keeps_its_projection(tmp_path: Path, layout: str) -> None:
    pixels = np.random.default_rng(1).integers(1, 9000, (3, 40, 48)).astype("u2")
    options = {"compression": "zlib", "extratags": TAGS, "metadata": None, "tile": (16, 16)}
    options["photometric"] = "minisblack"
    tifffile.imwrite(tmp_path / "apart.tif", pixels, planarconfig="separate", **options)
    if layout == "interleaved":
        mixed = np.moveaxis(pixels, 0, -1)
        tifffile.imwrite(tmp_path / "other.tif", mixed, planarconfig="contig", **options)
    else:
        plain = {"extratags": TAGS, "metadata": None, "rowsperstrip": 16}
        plain["compression"] = "zlib" if "compressed" in layout else None
        tifffile.imwrite(tmp_path / "other.tif", pixels[0], **plain)
    for name in ("apart", "other"):
        built = build([str(tmp_path / f"{name}.tif")], str(tmp_path / name), Access())
    assert (built.native == {}) == (layout != "short compressed strip")
    found, expected = attributes(tmp_path / "other"), attributes(tmp_path / "apart")
    assert found["projected_type"] == 32631
    assert found == expected
    assert verify_repository(str(tmp_path / "other"), Access(), sample=None).passed


@pytest.mark.parametrize("written", [0, 2, 3])
def test_text_never_written_or_padded_is_no_difference(tmp_path: Path, written: int) -> None:
    """Kerchunk's fill value of characters is a space."""
    path = tmp_path / "f.nc"
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in (("time", 3), ("y", 300), ("s", 8)):
            file.createDimension(dim, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "hours since 1970-01-01"
        time[:] = [0, 1, 2]
        pr = file.createVariable("pr", "f4", ("time", "y"), zlib=True, chunksizes=(1, 300))
        pr[:] = np.random.default_rng(1).normal(size=(3, 300))
        file.createVariable("rotated_pole", "S1").grid_mapping_name = "rotated_latitude_longitude"
        text = file.createVariable("station", "S1", ("time", "s"), chunksizes=(1, 8))
        names = np.array(["abc", "longname", "x"][:written], "S8")
        if written:
            text[:written] = netCDF4.stringtochar(names)
    references = SingleHdf5ToZarr(str(path), inline_threshold=100).translate()
    (tmp_path / "f.json").write_text(json.dumps(references))
    built = migrate([str(tmp_path / "f.json")], str(tmp_path / "repo"), Access())
    assert "rotated_pole" in built.native
    assert built.dropped == {}
    report = verify_repository(str(tmp_path / "repo"), Access(), sample=None)
    assert report.passed, report.failures
