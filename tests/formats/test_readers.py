"""The parsers' last column in ``references/formats.md``: what a reader of the store must have.

Stores are built here and read in a process of its own, where only named packages can be imported.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from vzarr.changes.build import build
from vzarr.sources.schemes import Access

READ = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

repository, prefix, group, missing, *imported = sys.argv[1:]
ABSENT = set(missing.split(","))
sys.meta_path.insert(0, Absent())
for name in imported:
    __import__(name)
import icechunk, xarray
access = {prefix: icechunk.credentials.LocalFileSystemAccess}
storage = icechunk.local_filesystem_storage(repository)
repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
store = repo.readonly_session("main").store
print(len(xarray.open_zarr(store, group=group or None, consolidated=False).load().data_vars))
"""
ABSENT = {"virtualizarr", "gribberish", "virtual_tiff", "astropy", "kerchunk", "h5py", "netCDF4"}


def read(
    path: Path,
    repository: Path,
    group: str,
    present: set[str],
    imported: tuple[str, ...] = (),
    installed: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    prefix = f"file://{path.parent}/"
    arguments = [str(repository), prefix, group, ",".join(ABSENT - present), *imported]
    command = [sys.executable, "-W", "ignore", "-c", READ, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(installed or "")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


@pytest.mark.parametrize(
    ("name", "group", "present", "imported"),
    [
        ("netcdf3/stations.nc", "", set(), ()),
        ("hdf5/granule_0.nc", "product", set(), ()),
        ("zarr/v3.zarr", "", set(), ()),
        ("fits/ccd_0.fits", "", set(), ()),
        ("envi/scene.img", "", set(), ()),
        ("hdf4/granule.hdf", "", set(), ()),
        ("dmrpp/granule.h5.dmrpp", "", set(), ()),
        ("grib/forecast_00.grib2", "isobar/instant", {"gribberish"}, ()),
        (
            "tiff/B04_2024-01-05.tif",
            "",
            {"virtual_tiff", "virtualizarr"},
            ("virtual_tiff",),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else "",
)
def test_reader_needs_what_the_table_says(
    name: str,
    group: str,
    present: set[str],
    imported: tuple[str, ...],
    format_folder: Path,
    tmp_path: Path,
) -> None:
    path, repository = format_folder / name, tmp_path / "repo"
    built = build([str(path)], str(repository), Access())
    assert built.virtual
    done = read(path, repository, group, present, imported)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 0
    if present:
        without = read(path, repository, group, set())
        assert without.returncode != 0
        # Zarr knows the name of what is installed, and is refused only the import.
        assert re.search("UnknownCodecError|No module named 'gribberish", without.stderr)
    if imported:
        only_installed = read(path, repository, group, present)
        assert "UnknownCodecError" in only_installed.stderr


def test_the_codec_of_grib_is_found_once_it_is_installed(
    format_folder: Path, tmp_path: Path
) -> None:
    """``scripts/pyproject.toml`` makes a package of one module, with an entry point."""
    scripts = Path(__file__).parents[2] / "scripts"
    project = tomllib.loads((scripts / "pyproject.toml").read_text())
    (module,) = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    name, version = project["project"]["name"], project["project"]["version"]
    points = project["project"]["entry-points"]["zarr.codecs"]
    told = tmp_path / "site" / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir(parents=True)
    shutil.copy(scripts / module, tmp_path / "site")
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = [f"{codec} = {place}" for codec, place in points.items()]
    (told / "entry_points.txt").write_text("\n".join(["[zarr.codecs]", *lines, ""]))
    path, repository = format_folder / "grib" / "multi_field.grib2", tmp_path / "repo"
    built = build([str(path)], str(repository), Access())
    assert built.virtual == ["isobar/instant/ugrd", "isobar/instant/vgrd"]
    group = "isobar/instant"
    done = read(path, repository, group, {"gribberish"}, installed=tmp_path / "site")
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr[-2000:]
    without = read(path, repository, group, {"gribberish"})
    assert "codec 'virtual_zarr.grib' is not available" in without.stderr
