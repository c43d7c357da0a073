"""Single files: the layouts that references cannot describe, and real files from archives."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from vzarr.changes.build import build
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"


def build_and_verify(path: Path, repository: Path) -> dict:
    built = build([str(path)], str(repository), Access())
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.failures == []
    return built.as_json()


def compact(file: h5py.File) -> None:
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((4,))
    dataset = h5py.h5d.create(file.id, b"v", h5py.h5t.NATIVE_INT32, space, dcpl=plan)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(11, 15, dtype="i4"))


def external(file: h5py.File) -> None:
    raw = Path(file.filename).with_suffix(".bin")
    np.arange(11, 15, dtype="<i4").tofile(raw)
    file.create_dataset("v", shape=(4,), dtype="<i4", external=[(str(raw), 0, 16)])


def virtual_dataset(file: h5py.File) -> None:
    other = Path(file.filename).with_suffix(".source.h5")
    with h5py.File(other, "w") as source:
        source["x"] = np.arange(11, 15, dtype="i4")
    layout = h5py.VirtualLayout((4,), "i4")
    layout[:] = h5py.VirtualSource(str(other), "x", shape=(4,))
    file.create_virtual_dataset("v", layout, fillvalue=-1)


def skipped_filter(file: h5py.File) -> None:
    dataset = file.create_dataset("v", shape=(4,), dtype="i4", chunks=(2,), shuffle=True)
    dataset[:2] = [11, 12]
    dataset.id.write_direct_chunk((2,), np.array([13, 14], "i4").tobytes(), 1)


@pytest.mark.parametrize("make", [compact, external, virtual_dataset, skipped_filter])
def test_unsafe_layouts_are_copied_and_say_so(tmp_path: Path, make) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        make(file)
        file["other"] = np.arange(3.0)
    built = build_and_verify(path, tmp_path / "repo")
    assert built["virtual"] == ["other"]
    assert "HDF5" in built["native"]["v"]
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "repo")))
    ds = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    assert ds.v.values.tolist() == [11, 12, 13, 14]


def test_missing_codec_is_copied_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=np.arange(100), chunks=(10,), compression="lzf")
        file["other"] = np.arange(3.0)
    built = build_and_verify(path, tmp_path / "repo")
    assert "codec" in built["native"]["v"]
    assert built["virtual"] == ["other"]


def test_attributes_that_json_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file["v"] = np.arange(3.0)
        file["v"].attrs["valid_max"] = np.nan
        file.attrs["limits"] = np.array([0, np.inf])
    built = build_and_verify(path, tmp_path / "repo")
    assert len(built["notes"]) == 2


def test_times_that_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "file.nc"
    times = ("time", np.arange(3.0), {"units": "hour since 0000-01-01 00:00:00"})
    xr.Dataset({"v": ("time", np.arange(3.0))}, {"time": times}).to_netcdf(path, engine="h5netcdf")
    build_and_verify(path, tmp_path / "repo")


def open_group(repository: Path, folder: Path, group: str) -> xr.Dataset:
    access = {f"file://{folder}/": icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(repository))
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return xr.open_zarr(repo.readonly_session("main").store, group=group, consolidated=False)


def granule(path: Path, number: int) -> Path:
    with netCDF4.Dataset(path, "w") as file:
        file.title = "granule"
        file.createDimension("scan", None)
        file.createDimension("pixel", 4)
        file.createVariable("pixel", "i4", ("pixel",))[:] = np.arange(4)
        product = file.createGroup("product")
        no2 = product.createVariable("no2", "f4", ("scan", "pixel"), zlib=True, chunksizes=(3, 4))
        no2[:] = np.arange(12).reshape(3, 4) + 100 * number
        place = file.createGroup("product/geolocation")
        time = place.createVariable("time", "f8", ("scan",))
        time.units = f"hours since 2024-01-01 0{number}:00"
        time[:] = np.arange(3) / 60
    return path


def test_groups_become_groups(tmp_path: Path) -> None:
    files = [granule(tmp_path / f"g{number}.nc", number) for number in range(3)]
    built = build([str(file) for file in files], str(tmp_path / "repo"), Access())
    assert built.concat_dim == "scan"
    assert built.virtual == ["product/no2"]
    report = verify_repository(str(tmp_path / "repo"), Access(), sample=None)
    assert report.failures == []
    assert report.virtual == ["product/no2"]
    no2 = open_group(tmp_path / "repo", tmp_path, "product").no2
    assert no2[::3, 0].values.tolist() == [0, 100, 200]
    time = open_group(tmp_path / "repo", tmp_path, "product/geolocation").time
    assert time[::3].dt.hour.values.tolist() == [0, 1, 2]
    assert open_group(tmp_path / "repo", tmp_path, "").attrs["title"] == "granule"


def test_one_group(tmp_path: Path) -> None:
    path = granule(tmp_path / "g.nc", 1)
    built = build([str(path)], str(tmp_path / "repo"), Access(), groups=("product/geolocation",))
    assert built.virtual + built.loaded + list(built.native) == ["product/geolocation/time"]
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed
    with pytest.raises(InputError, match="no file has a group of this name; there are: product"):
        build([str(path)], str(tmp_path / "other"), Access(), groups=("nowhere",))


def test_group_that_differs_is_refused(tmp_path: Path) -> None:
    files = [granule(tmp_path / f"g{number}.nc", number) for number in range(2)]
    with netCDF4.Dataset(files[1], "a") as file:
        file.createGroup("more").createVariable("v", "f4", ("pixel",))[:] = 0
    with pytest.raises(Refused, match="/more: the group is absent, but present in"):
        build([str(file) for file in files], str(tmp_path / "repo"), Access())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello", "not NetCDF or HDF5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "cannot be read"),
        (b"CDF\x01" + bytes(4), "cannot be read"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.nc"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as raised:
        build([str(path)], str(tmp_path / "repo"), Access())
    assert "file.nc" in str(raised.value)
    assert not (tmp_path / "repo").exists()


def real_files() -> list[Path]:
    """NetCDF and HDF5 files of the corpus, else those that installed packages ship for tests."""
    if CORPUS.is_dir():
        with (CORPUS / "manifest.csv").open() as table:
            rows = list(csv.DictReader(table))
        kinds = ("netCDF", "HDF5")
        return [CORPUS / row["path"] for row in rows if row["format"].startswith(kinds)]
    import scipy.io

    return sorted(Path(scipy.io.__file__).parent.glob("tests/data/*.nc"))


def test_there_are_real_files() -> None:
    assert real_files()


@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_real_file_reads_equal_or_is_refused(path: Path, tmp_path: Path) -> None:
    """Never a wrong value, a variable lost in silence, or another kind of error."""
    refusal = ""
    try:
        built = build_and_verify(path, tmp_path / "repo")
    except (InputError, Refused) as error:
        refusal = str(error)
    if refusal:
        assert path.name in refusal
        assert not (tmp_path / "repo").exists()
    else:
        assert built["virtual"] or built["native"] or built["loaded"]
