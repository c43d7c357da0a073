"""Files whose chunks fill no regular grid: one array all the same, equal to its sources, or a
sentence with choices each of which then builds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from months import LAYOUTS, Month, read
from virtualizarr.manifests.utils import create_v3_array_metadata
from vzarr.changes.build import build
from vzarr.changes.build_state import Built
from vzarr.combine.codecs import decoding
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access
from zarr.core.buffer import cpu, default_buffer_prototype
from zarr.core.sync import sync

TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"
WAYS = [
    ("whole", "rectilinear"),
    ("whole", "copy"),
    ("tens", "rectilinear"),
    ("tens", "copy"),
    ("contiguous", None),
    ("netcdf3", None),
]
HISTORIES = ("build", "batches", "append", "append one by one", "resume")


def stored(repository: Path, folder: Path, **options: object) -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    return xr.open_zarr(store, consolidated=False, **{"chunks": None, **options})


def months(folder: Path, layout: str, count: int = 5) -> list[str]:
    return [Month(number, layout).write(folder) for number in range(count)]


def make(files: list[str], repo: Path, history: str, irregular: str | None) -> None:
    access = Access()
    if history == "build":
        build(files, str(repo), access, irregular=irregular)
    elif history == "batches":
        build(files, str(repo), access, irregular=irregular, batch=2)
    elif history == "append":
        build(files[:2], str(repo), access, irregular=irregular)
        append(files, str(repo), access)
    elif history == "append one by one":
        build(files[:1], str(repo), access, irregular=irregular)
        for number in range(1, len(files)):
            append(files[: number + 1], str(repo), access)
    else:
        stopped_build(files, repo, irregular)
        build(files, str(repo), access, irregular=irregular, batch=1)


def stopped_build(files: list[str], repo: Path, irregular: str | None) -> None:
    """A build that is stopped when it has written two files."""

    class Stopped(BaseException):
        pass

    def progress(phase: str) -> object:
        def show(done: int, total: int) -> None:
            if phase == "parsed" and done > 2:
                raise Stopped

        return show

    with pytest.raises(Stopped):
        build(files, str(repo), Access(), irregular=irregular, batch=1, progress=progress)


@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize(("layout", "irregular"), WAYS)
def test_months_are_one_array(
    tmp_path: Path, layout: str, irregular: str | None, history: str
) -> None:
    files = months(tmp_path / "data", layout)
    make(files, tmp_path / "store", history, irregular)
    truth = read(files)
    for options in ({}, {"chunks": {}}):  # eager, and with Dask
        found = stored(tmp_path / "store", tmp_path / "data", **options)
        xr.testing.assert_equal(found.load(), truth)
    report = verify_repository(str(tmp_path / "store"), Access(), sample=None)
    assert report.passed, report.failures
    way = report.ways["pr"]
    share = way["virtual"] / (way["virtual"] + way["native"])
    if irregular == "rectilinear":
        assert share > 0.85
    elif irregular is None:
        assert share == 1
    assert way["why"].startswith("28 to 31 steps of time a file")


@pytest.mark.parametrize("layout", ["whole", "tens"])
def test_a_choice_is_asked_for_and_each_answer_builds(tmp_path: Path, layout: str) -> None:
    files = months(tmp_path / "data", layout, 3)
    with pytest.raises(Refused, match="choose") as refused:
        build(files, str(tmp_path / "store"), Access())
    sentence = str(refused.value)
    assert "--irregular rectilinear (" in sentence
    assert "--irregular copy (3.6kB copied; every reader opens it)" in sentence
    assert "array.rectilinear_chunks" in sentence
    assert not (tmp_path / "store").exists()
    for way in ("rectilinear", "copy"):
        build(files, str(tmp_path / way), Access(), irregular=way)
        xr.testing.assert_equal(stored(tmp_path / way, tmp_path / "data").load(), read(files))


def test_refuse_refuses(tmp_path: Path) -> None:
    files = months(tmp_path / "data", "tens", 2)
    with pytest.raises(Refused, match="a multiple of the chunk length 10"):
        build(files, str(tmp_path / "store"), Access(), irregular="refuse")


def test_append_asks_for_a_choice(tmp_path: Path) -> None:
    files = months(tmp_path / "data", "whole", 2)
    build(files[:1], str(tmp_path / "store"), Access())
    with pytest.raises(Refused, match="choose --irregular rectilinear"):
        append(files, str(tmp_path / "store"), Access())
    done = append(files, str(tmp_path / "store"), Access(), irregular="rectilinear")
    assert done.ways["pr"]["kind"] == "rectilinear"
    xr.testing.assert_equal(stored(tmp_path / "store", tmp_path / "data").load(), read(files))


def test_a_level_of_compression_is_no_difference(tmp_path: Path) -> None:
    files = [Month(n, "tens", level=1 + 4 * n).write(tmp_path / "data") for n in (0, 2)]
    append_to, repo = files[1:], str(tmp_path / "store")
    build(files[:1], repo, Access(), irregular="rectilinear")
    append(append_to, repo, Access())
    Month(0, "tens", level=9, seed=3).write(tmp_path / "data")
    os.utime(files[0], (2e9, 2e9))
    refresh(repo, Access())
    xr.testing.assert_equal(stored(tmp_path / "store", tmp_path / "data").load(), read(files))


def test_codecs_are_compared_by_what_they_decode() -> None:
    def of(*codecs: tuple[str, dict], dtype: str = "i2") -> tuple:
        listed = [{"name": name, "configuration": options} for name, options in codecs]
        kind = np.dtype(dtype)
        return decoding(create_v3_array_metadata((4,), kind, (4,), codecs=listed))

    assert of(("numcodecs.zlib", {"level": 1})) == of(("numcodecs.zlib", {"level": 9}))
    assert of(("zstd", {"level": 1})) == of(("numcodecs.zstd", {"level": 9}))
    assert of(("numcodecs.blosc", {"cname": "lz4"})) == of(("blosc", {"cname": "zstd"}))
    shuffled = ("numcodecs.shuffle", {"elementsize": 2})
    assert of(shuffled, ("numcodecs.zlib", {})) != of(("numcodecs.zlib", {}))
    assert of(shuffled) != of(("numcodecs.shuffle", {"elementsize": 4}))
    assert of(dtype="<i2") != of(dtype=">i2")
    assert of(dtype="i1") == of(dtype="|i1")


def test_small_variables_are_copied_without_a_word(tmp_path: Path) -> None:
    """Every reader opens the store: 5 % of the bytes may be copied for that."""
    files = []
    for number in range(3):
        file = Month(number, "contiguous").write(tmp_path)
        with xr.open_dataset(file) as dataset:
            more = dataset.load().assign(
                count=("time", np.arange(dataset.sizes["time"], dtype="i4") + 100 * number),
                big=(("time", "z"), np.full((dataset.sizes["time"], 3000), number, "f4")),
            )
        files.append(str(tmp_path / f"more_{number}.nc"))
        encoding = {"count": {"zlib": True, "chunksizes": (dataset.sizes["time"],)}}
        more.to_netcdf(files[-1], engine="netcdf4", encoding=encoding)
    built = build(files, str(tmp_path / "store"), Access(), prefixes=(str(tmp_path),))
    assert built.ways["count"]["kind"] == "copy"
    assert built.ways["big"]["kind"] == "cut"
    assert built.share.native < 0.05 * built.share.virtual
    xr.testing.assert_equal(stored(tmp_path / "store", tmp_path).load(), read(files))


@pytest.mark.parametrize(("layout", "irregular"), WAYS)
def test_a_file_that_was_written_again(tmp_path: Path, layout: str, irregular: str | None) -> None:
    files = months(tmp_path / "data", layout)
    build(files, str(tmp_path / "store"), Access(), irregular=irregular)
    again = Month(1, layout, seed=7).write(tmp_path / "data")
    os.utime(again, (2e9, 2e9))
    assert refresh(str(tmp_path / "store"), Access()).changed.keys() == {f"file://{again}"}
    xr.testing.assert_equal(stored(tmp_path / "store", tmp_path / "data").load(), read(files))
    more = Month(5, layout).write(tmp_path / "data")
    append([more], str(tmp_path / "store"), Access())
    found = stored(tmp_path / "store", tmp_path / "data").load()
    xr.testing.assert_equal(found, read([*files, more]))
    assert verify_repository(str(tmp_path / "store"), Access(), sample=None).passed


@pytest.mark.parametrize(("layout", "irregular"), WAYS)
def test_a_last_file_that_has_grown(tmp_path: Path, layout: str, irregular: str | None) -> None:
    files = months(tmp_path / "data", layout, 3)
    build(files, str(tmp_path / "store"), Access(), irregular=irregular)
    with xr.open_dataset(files[2]) as dataset:
        longer = xr.concat(
            [dataset, dataset.assign_coords(time=dataset.time + np.timedelta64(31, "D"))],
            "time",
            data_vars="minimal",
        ).load()
    longer.pr.encoding = {
        k: v for k, v in longer.pr.encoding.items() if k in ("dtype", "scale_factor", "_FillValue")
    }
    if layout != "netcdf3":
        chunk = {"tens": 10, "whole": 62, "contiguous": None}[layout]
        longer.pr.encoding |= {"zlib": True, "chunksizes": (chunk, 4, 3)} if chunk else {}
    longer.to_netcdf(
        files[2], format="NETCDF3_64BIT" if layout == "netcdf3" else "NETCDF4", unlimited_dims=[]
    )
    os.utime(files[2], (2e9, 2e9))
    append(files, str(tmp_path / "store"), Access(), replace_known=True)
    xr.testing.assert_equal(stored(tmp_path / "store", tmp_path / "data").load(), read(files))


def test_readers_without_the_flag_are_told(tmp_path: Path) -> None:
    files = months(tmp_path / "data", "whole", 2)
    built = build(files, str(tmp_path / "store"), Access(), irregular="rectilinear")
    readers = built.as_json()["ways"]["pr"]["readers"]
    with (
        zarr.config.set({"array.rectilinear_chunks": False}),
        pytest.raises(ValueError, match="Rectilinear chunk grids are experimental") as error,
    ):
        stored(tmp_path / "store", tmp_path / "data")
    assert "ZARR_ARRAY__RECTILINEAR_CHUNKS=True" in str(error.value)
    assert "ZARR_ARRAY__RECTILINEAR_CHUNKS=True" in readers


def test_the_grid_stays_small(tmp_path: Path) -> None:
    """Lengths of chunks are kept as runs."""
    files = months(tmp_path / "data", "tens", 3)
    build(files, str(tmp_path / "store"), Access(), irregular="rectilinear")
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "store")))
    array = zarr.open_array(repo.readonly_session("main").store, path="pr", mode="r")
    lengths = array.metadata.to_dict()["chunk_grid"]["configuration"]["chunk_shapes"][0]
    assert lengths == [[10, 3], 1, [10, 2], 8, [10, 4]]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_inspect_shows_the_plan_and_its_command_works(tmp_path: Path, layout: str) -> None:
    files = months(tmp_path, layout, 4)
    (found,) = inspect_files(files, Access()).sets
    ways = [way.kind for way in found.ways["pr"]]
    assert ways == (["rectilinear", "copy"] if layout in ("whole", "tens") else ["cut"])
    command = found.build.replace("NAME.icechunk", "store").split()[2:]
    tool = [sys.executable, str(TOOL)]
    subprocess.run([*tool, *command[1:]], cwd=tmp_path, check=True, capture_output=True)
    shown = subprocess.run(
        [*tool, "inspect", *files], check=True, capture_output=True, text=True
    ).stdout
    assert f"plan: pr: {'--irregular rectilinear' if len(ways) == 2 else 'cut'}" in shown
    result = inspect_files(files, Access()).as_json()["sets"][0]["ways"]["pr"]
    built = Path(tmp_path / "store")
    report = verify_repository(str(built), Access(), sample=None)
    planned = result[0]
    assert {**planned, "why": ""} == {**report.ways["pr"], "why": ""}
    json.dumps(result)


def test_what_was_built_is_told_as_json(tmp_path: Path) -> None:
    files = months(tmp_path / "data", "tens", 3)
    built: Built = build(files, str(tmp_path / "store"), Access(), irregular="rectilinear")
    (way,) = json.loads(json.dumps(built.as_json()))["ways"].values()
    rows = 1 + 8
    assert way["native"] == rows * 4 * 5 * 2
    assert way["virtual"] == (90 - rows) * 4 * 5 * 2
    assert built.as_json()["bytes"]["native"] == way["native"]


def test_icechunk_takes_lists_of_lengths_only() -> None:
    """Fails when Icechunk reads the one number that stands for a list: lists are then no need."""
    repo = icechunk.Repository.create(icechunk.in_memory_storage())
    store = repo.writable_session("main").store
    room = zarr.open_group(store, mode="a")
    room.create_array("a", shape=(9, 4), chunks=[[3, 4, 2], [4]], dtype="f4", fill_value=0)
    held = sync(store.get("a/zarr.json", default_buffer_prototype())).to_bytes()
    document = json.loads(held)
    assert document["chunk_grid"] == {
        "name": "rectilinear",
        "configuration": {"kind": "inline", "chunk_shapes": [[3, 4, 2], [4]]},
    }
    document["chunk_grid"]["configuration"]["chunk_shapes"][1] = 4
    with pytest.raises(icechunk.IcechunkError, match="rectilinear chunk grid"):
        sync(store.set("a/zarr.json", cpu.Buffer.from_bytes(json.dumps(document).encode())))
