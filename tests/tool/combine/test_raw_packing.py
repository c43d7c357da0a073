"""Packing of each file: integers stay references, and what unpacks them lies beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from stores import opened
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"


def image(
    folder: Path, number: int, scale: float, offset: float, days: int = 2, **options: object
) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"sst_{number}.nc"
    with netCDF4.Dataset(path, "w") as file:
        for dim, size in (("time", days), ("lat", 4), ("lon", 6)):
            file.createDimension(dim, size)
        time = file.createVariable("time", "i4", ("time",))
        time.units = "days since 2020-01-01"
        time[:] = 10 * number + np.arange(days)
        for dim, size in (("lat", 4), ("lon", 6)):
            file.createVariable(dim, "f4", (dim,))[:] = np.arange(size)
        options = {"zlib": True, "chunksizes": (1, 4, 3), "fill_value": -32768, **options}
        for name in ("sst", "same"):
            v = file.createVariable(name, "i2", ("time", "lat", "lon"), **options)
            own = (scale, offset) if name == "sst" else (0.5, 1.0)
            v.setncatts({"scale_factor": own[0], "add_offset": own[1], "units": "K"})
            values = own[1] + own[0] * np.random.default_rng(number).integers(-99, 99, (days, 4, 6))
            v[:] = np.ma.masked_less(values, own[1] - own[0] * 90)
    return str(path)


def images(folder: Path) -> list[str]:
    forms = ((0.001, 292.17), (0.002, 288.44), (0.001, 288.75), (0.5, 0.0))
    return [image(folder, n, *each) for n, each in enumerate(forms)]


def check(repo: Path, files: list[str]) -> None:
    stored = opened(repo)[""].load()
    parts = [xr.open_dataset(file).load() for file in files]
    truth = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="equals")
    sst = stored.sst * stored.sst_scale_factor + stored.sst_add_offset
    np.testing.assert_allclose(sst, truth.sst, rtol=1e-6)
    xr.testing.assert_equal(stored.same, truth.same)
    assert stored.sst.attrs["ancillary_variables"] == "sst_scale_factor sst_add_offset"
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, report.failures
    assert report.ways["sst"]["native"] == 0
    assert report.ways["sst"]["readers"] == "sst * sst_scale_factor + sst_add_offset"


@pytest.mark.parametrize("history", ["build", "batches", "alike first", "append", "one by one"])
def test_integers_stay_virtual(tmp_path: Path, history: str) -> None:
    files = images(tmp_path)
    if history == "alike first":
        image(tmp_path, 1, 0.001, 292.17)
    repo = str(tmp_path / "store")
    if history in ("build", "batches", "alike first"):
        batch = None if history == "build" else 2
        built = build(files, repo, Access(), packing="raw", batch=batch)
        assert built.share.native == 0
        assert built.ways["sst"]["kind"] == "raw"
    else:
        build(files[:2], repo, Access(), packing="raw")
        for number in [4] if history == "append" else [3, 4]:
            append(files[:number], repo, Access())
    check(tmp_path / "store", files)


def test_refresh_writes_new_scales(tmp_path: Path) -> None:
    files = images(tmp_path)
    build(files, str(tmp_path / "store"), Access(), packing="raw")
    image(tmp_path, 1, 0.25, 100.0)
    assert refresh(str(tmp_path / "store"), Access()).snapshot
    check(tmp_path / "store", files)


def test_verify_notices_a_wrong_scale(tmp_path: Path) -> None:
    import icechunk
    import zarr

    repo = str(tmp_path / "store")
    build(images(tmp_path), repo, Access(), packing="raw")
    session = icechunk.Repository.open(icechunk.local_filesystem_storage(repo)).writable_session(
        "main"
    )
    zarr.open_array(session.store, path="sst_scale_factor")[4] = 0.002
    session.commit("other")
    failures = verify_repository(repo, Access(), sample=None).failures
    assert "sst_2.nc" in failures[0].url


def test_each_choice_of_the_question_builds(tmp_path: Path) -> None:
    files = images(tmp_path)
    with pytest.raises(Refused) as refused:
        build(files, str(tmp_path / "store"), Access())
    sentence = str(refused.value)
    assert "--packing raw (384B virtual; readers compute sst * sst_scale_factor" in sentence
    assert "--irregular decode (" in sentence
    build(files, str(tmp_path / "raw"), Access(), packing="raw")
    check(tmp_path / "raw", files)
    build(files, str(tmp_path / "values"), Access(), irregular="decode")
    with pytest.raises(Refused, match=r"off by up to .* Copy the values of all"):
        build(files, str(tmp_path / "copy"), Access(), irregular="copy")


def test_months_in_unequal_chunks_take_both_options(tmp_path: Path) -> None:
    forms = ((0.001, 292.17, 3), (0.002, 288.44, 2), (0.003, 288.44, 4))
    files = [image(tmp_path, n, *each, chunksizes=(each[2], 4, 6)) for n, each in enumerate(forms)]
    with pytest.raises(Refused, match="--irregular rectilinear"):
        build(files, str(tmp_path / "store"), Access(), packing="raw")
    build(files, str(tmp_path / "store"), Access(), packing="raw", irregular="rectilinear")
    stored = opened(tmp_path / "store")[""].load()
    truth = xr.concat([xr.open_dataset(file) for file in files], "time", data_vars="minimal")
    sst = stored.sst * stored.sst_scale_factor + stored.sst_add_offset
    np.testing.assert_allclose(sst, truth.sst, rtol=1e-6)
    way = verify_repository(str(tmp_path / "store"), Access()).ways["sst"]
    assert "ZARR_ARRAY__RECTILINEAR_CHUNKS" in way["readers"]
    assert "sst_add_offset" in way["readers"]


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    files = images(tmp_path)
    for file in files:
        with netCDF4.Dataset(file, "a") as dataset:
            dataset.createVariable("sst_add_offset", "f4", ("time",))[:] = 0
    with pytest.raises(Refused, match="leave it out with --drop sst_add_offset"):
        build(files, str(tmp_path / "store"), Access(), packing="raw")
    build(files, str(tmp_path / "store"), Access(), packing="raw", drop=("sst_add_offset",))
    check(tmp_path / "store", files)


def run(folder: Path, command: str) -> None:
    words = command.replace("NAME.icechunk", "store").split()[2:]
    subprocess.run(
        [sys.executable, str(TOOL), *words[1:]], cwd=folder, check=True, capture_output=True
    )


DIFFERENCES: dict[str, dict] = {
    "packing": {"scale": 0.25},
    "codecs": {"shuffle": False},
    "chunks": {"chunksizes": (1, 2, 6)},
    "fill": {"fill_value": -9999},
    "plain": {"zlib": False},
}


@pytest.mark.parametrize("odd", [1, 3])
@pytest.mark.parametrize("kind", list(DIFFERENCES))
def test_inspect_shows_one_set_whose_command_builds(tmp_path: Path, kind: str, odd: int) -> None:
    """``odd`` of four files are stored otherwise."""
    files = []
    for number in range(4):
        options = dict(DIFFERENCES[kind]) if number >= 4 - odd else {}
        files.append(image(tmp_path, number, options.pop("scale", 0.5), 1.0, **options))
    inspected = inspect_files(files, Access())
    (file_set,) = inspected.sets
    asked = [way for ways in file_set.ways.values() for way in ways]
    assert asked, "a plan"
    assert "otherwise" in asked[0].why
    json.dumps(inspected.as_json())
    run(tmp_path, file_set.build)
    report = verify_repository(str(tmp_path / "store"), Access(), sample=None)
    assert report.passed, report.failures
    for name, ways in file_set.ways.items():
        told = report.ways[name]
        assert (told["virtual"], told["native"]) == (ways[0].virtual, ways[0].native)


@pytest.mark.parametrize("types", [("f4", "f8"), ("f8", "f4"), ("i2", "i4"), ("i4", "i2")])
def test_inspect_of_types_whose_command_builds(tmp_path: Path, types: tuple[str, str]) -> None:
    files = []
    for number, dtype in enumerate([types[0], types[0], types[1]]):
        path = tmp_path / f"v_{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for dim, size in (("time", 2), ("x", 8)):
                file.createDimension(dim, size)
            time = file.createVariable("time", "i4", ("time",))
            time.units = "days since 2020-01-01"
            time[:] = 2 * number + np.arange(2)
            v = file.createVariable("v", dtype, ("time", "x"), zlib=True, chunksizes=(1, 8))
            random = np.random.default_rng(number)
            v[:] = random.random((2, 8)) if dtype[0] == "f" else random.integers(0, 9**5, (2, 8))
        files.append(str(path))
    (file_set,) = inspect_files(files, Access()).sets
    run(tmp_path, file_set.build)
    assert verify_repository(str(tmp_path / "store"), Access(), sample=None).passed


def test_inspect_of_overlaps_whose_command_builds(tmp_path: Path) -> None:
    files = [image(tmp_path, n, 0.5, 1.0, days=11) for n in range(3)]
    (file_set,) = inspect_files(files, Access()).sets
    assert "--overlap first" in file_set.build
    run(tmp_path, file_set.build)
    assert verify_repository(str(tmp_path / "store"), Access(), sample=None).passed
