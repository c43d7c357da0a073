"""``inspect``: what is said of files agrees with what ``build`` makes of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import netCDF4
import numpy as np
import pytest
import virtual_zarr
import xarray as xr
from making import Recipe
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_mfdataset
from virtualizarr.manifests.utils import manifest_chunk_shape
from virtualizarr.parsers import HDFParser
from vzarr.changes.build import build
from vzarr.cli.inspect import as_lines
from vzarr.combine.file_sets import FileSet
from vzarr.commands.inspect import Inspected, inspect_files
from vzarr.errors import Refused
from vzarr.sources.content import fetch
from vzarr.sources.discover import look_up
from vzarr.sources.schemes import Access
from vzarr.virtualize.describe import describe
from vzarr.virtualize.parse import parse_file

TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"
DATA = Path(__file__).parents[2] / "data"


def inspect(*files: Path | str) -> Inspected:
    return inspect_files([str(file) for file in files], Access())


def only_set(inspected: Inspected) -> FileSet:
    (found,) = inspected.sets
    return found


def suggested(found: FileSet) -> list[str]:
    """What the suggested command gives to the tool."""
    runner, run, tool, *arguments = shlex.split(found.build)
    assert (runner, run, Path(tool).name) == ("uv", "run", TOOL.name)
    return arguments


def combine(found: FileSet) -> xr.Dataset:
    """What the suggested call returns."""
    names = {
        "open_virtual_mfdataset": open_virtual_mfdataset,
        "urls": found.files,
        "registry": ObjectStoreRegistry({"file://": LocalStore()}),
        "HDFParser": HDFParser,
    }
    return eval(found.combine, names)


@pytest.fixture
def daily(tmp_path: Path) -> list[Path]:
    return [Recipe(start=2 * n).write(tmp_path / f"f{n}.nc") for n in range(4)]


def test_a_homogeneous_set(daily: list[Path], tmp_path: Path) -> None:
    found = only_set(inspect(*daily))
    assert (found.along, found.step, found.lengths) == ("time", "1 days", [2, 2, 2, 2])
    assert (found.begin, found.end) == ("2000-01-01", "2000-01-08")
    assert (found.gaps, found.overlaps, found.partial_chunks, found.notes) == ([], [], [], [])
    v = found.variables["v"]
    assert (v.dims, v.shape, v.chunks, v.dtype) == (("time", "lat"), (2, 4), (1, 4), "int16")
    assert v.codecs == ("shuffle", "zlib")
    assert v.encoding["scale_factor"] == 0.5
    assert v.encoding["_FillValue"] == -99
    built = build([str(file) for file in daily], str(tmp_path / "repo"), Access())
    kinds = {name: variable.storage for name, variable in found.variables.items()}
    assert sorted(name for name, kind in kinds.items() if kind == "virtual") == built.virtual
    assert sorted(name for name, kind in kinds.items() if kind == "loaded") == built.loaded
    # Each file's own references; a store keeps those of static variables once.
    static = sum(v.references for v in found.variables.values() if "time" not in v.dims)
    assert found.references - built.references == static * (len(daily) - 1)


def test_suggested_command_and_call_do_the_job(
    daily: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = only_set(inspect(f"{tmp_path}/*.nc"))
    assert virtual_zarr.main(suggested(found)) == 0
    assert virtual_zarr.main(["verify", "--repo", "NAME.icechunk", "--all"]) == 0
    combined = combine(found)
    assert dict(combined.sizes) == {"time": 8, "lat": 4}
    days = np.datetime64("2000-01-01") + np.arange(8).astype("m8[D]")
    np.testing.assert_array_equal(combined.time.values, days)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"units": "degC"}, "v: units is degC, not K"),
        ({"calendar": "noleap"}, "time: calendar is noleap, not standard"),
        ({"jitter": 1e-9}, "lat: (jitter of at most 1e-09) the value at 0 is 1e-09, not 0.0"),
        ({"jitter": 1.0}, "lat: the value at 0 is 1.0, not 0.0"),
        ({"format": "NETCDF3_CLASSIC"}, "the format is NetCDF3, not HDF5"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_file_that_differs(change: dict, sentence: str, tmp_path: Path) -> None:
    for n in range(3):
        Recipe(start=2 * n).write(tmp_path / f"f{n}.nc")
    odd = Recipe(start=6, **change).write(tmp_path / "odd.nc")
    inspected = inspect(f"{tmp_path}/*.nc")
    first, second = inspected.sets
    assert (len(first.files), second.files) == (3, [f"file://{odd}"])
    assert sentence in second.differences
    assert f"differs from set 1: {sentence}" in "\n".join(as_lines(inspected))
    with pytest.raises(Refused):
        build([f"{tmp_path}/*.nc"], str(tmp_path / "repo"), Access())
    # What is said to belong together can be built.
    urls = [url.removeprefix("file://") for url in first.files]
    assert build(urls, str(tmp_path / "repo"), Access()).references > 0


def test_an_epoch_for_each_file_is_no_difference(tmp_path: Path) -> None:
    Recipe().write(tmp_path / "a.nc")
    Recipe(start=2, epoch="2000-01-03").write(tmp_path / "b.nc")
    assert only_set(inspect(f"{tmp_path}/*.nc")).end == "2000-01-04"


def test_order_gaps_and_overlaps(tmp_path: Path) -> None:
    late = Recipe(start=9).write(tmp_path / "a.nc")
    early = Recipe(start=0).write(tmp_path / "b.nc")
    middle = Recipe(start=1, steps=3).write(tmp_path / "c.nc")
    found = only_set(inspect(late, early, middle))
    assert found.files == [f"file://{file}" for file in (early, middle, late)]
    assert found.gaps == ["nothing between 2000-01-04 and 2000-01-10"]
    (overlap,) = found.overlaps
    assert (
        overlap == f"file://{middle}: begins at 2000-01-02, but file://{early} ends at 2000-01-02"
    )


def test_months_have_no_gaps(tmp_path: Path) -> None:
    for month in range(1, 13):
        with netCDF4.Dataset(tmp_path / f"{month:02}.nc", "w") as file:
            file.createDimension("time", None)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2023-01-01"
            start = np.datetime64(f"2023-{month:02}", "D") - np.datetime64("2023-01-01")
            time[:] = [start.astype(int)]
    found = only_set(inspect(f"{tmp_path}/*.nc"))
    assert (found.gaps, found.step) == ([], "31 days")


def test_partial_chunks(tmp_path: Path) -> None:
    for n in range(3):
        Recipe(start=3 * n, steps=3, chunk=2).write(tmp_path / f"f{n}.nc")
    (sentence,) = only_set(inspect(f"{tmp_path}/*.nc")).partial_chunks
    assert sentence.startswith(
        f"v: 2 files end in a partial chunk along time, as file://{tmp_path}"
    )
    assert "(length 3, chunk 2)" in sentence
    with pytest.raises(Refused, match="which no regular grid of Zarr holds"):
        build([f"{tmp_path}/*.nc"], str(tmp_path / "repo"), Access())


def write_hazards(path: Path) -> Path:
    """HDF5 whose variables, but ``sound``, no reference can describe."""
    values = np.arange(12, dtype="i4")
    with h5py.File(path.with_name("part.bin"), "w") as part:
        part["values"] = values
    with h5py.File(path, "w") as file:
        file.create_dataset("sound", data=values, chunks=(4,), compression="gzip")
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((12,))
        compact = h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_INT32, space, plan)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
        external = [(str(path.with_name("raw.bin")), 0, 48)]
        file.create_dataset("external", data=values, external=external)
        layout = h5py.VirtualLayout((12,), "i4")
        layout[:] = h5py.VirtualSource(path.with_name("part.bin"), "values", (12,))
        file.create_virtual_dataset("virtual", layout)
        masked = file.create_dataset("masked", (12,), "i4", chunks=(12,), compression="gzip")
        masked.id.write_direct_chunk((0,), values.tobytes(), filter_mask=1)
        file.create_dataset("lzf", data=np.zeros(5000, "i4"), compression="lzf")
        file.create_dataset("text", data=["one", "two"], dtype=h5py.string_dtype())
    return path


def test_layouts_that_cannot_be_virtual(tmp_path: Path) -> None:
    inspected = inspect(write_hazards(tmp_path / "hazards.h5"))
    variables = only_set(inspected).variables
    assert variables["sound"].storage == "virtual"
    for name, reason in {
        "compact": "HDF5 compact layout",
        "external": "HDF5 external storage",
        "virtual": "HDF5 virtual dataset",
        "masked": "HDF5 chunks that skip a filter",
        "lzf": "Zarr has no codec for one of its filters: ('lzf',)",
        "text": "strings of varying length",
    }.items():
        assert (variables[name].storage, reason in variables[name].reason) == ("native", True), name
        assert f"  {name} is copied: {reason}" in "\n".join(as_lines(inspected))


def test_suggested_call_leaves_out_what_would_read_wrong(tmp_path: Path) -> None:
    """Compact layout and placeholders of dimensions, of which the parser makes zeros."""
    hazards = write_hazards(tmp_path / "hazards.h5")
    for n in range(2):
        path = Recipe(start=2 * n).write(tmp_path / f"d{n}.nc")
        with netCDF4.Dataset(path, "a") as file:
            file.createDimension("nv", 12)
            file.createVariable("w", "f4", ("time", "nv"))[:] = 1
        with h5py.File(hazards, "r") as source, h5py.File(path, "a") as file:
            source.copy("compact", file)
            file["compact"].dims[0].attach_scale(file["nv"])
    found = only_set(inspect(tmp_path / "d*.nc"))
    assert found.placeholders == ["nv"]
    assert "no variable, but a placeholder: nv" in "\n".join(as_lines(Inspected(2, 0, [found], {})))
    combined = combine(found)
    assert sorted(combined.variables) == ["crs", "lat", "mask", "time", "v", "w"]
    assert "add 'compact' as xarray.open_dataset reads them" in found.combine


def test_more_files_than_a_command_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vzarr.commands.inspect.NAMED_FILES", 2)
    for n in range(3):
        Recipe(start=2 * n).write(tmp_path / f"a {n}.nc")
    Recipe(units="degC").write(tmp_path / "odd.nc")
    assert virtual_zarr.main(["inspect", "*.nc", "--json", "--quiet"]) == 0
    (tmp_path / "inspected.json").write_text(report := capsys.readouterr().out)
    command = json.loads(report)["sets"][0]["build"]
    assert command.startswith("jq ")
    prepare = command.partition("uv run")[0] + "printf '%s\\n'"
    listed = subprocess.run(["bash", "-c", prepare], capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == [f"file://{tmp_path}/a {n}.nc" for n in range(3)]


def test_what_is_too_large_to_copy_must_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_hazards(tmp_path / "hazards.h5")
    monkeypatch.setattr("vzarr.virtualize.describe.NATIVE_LIMIT", 10_000)
    monkeypatch.setattr("vzarr.virtualize.assemble.NATIVE_LIMIT", 10_000)
    inspected = inspect(path)
    found = only_set(inspected)
    assert found.variables["lzf"].storage == "dropped"
    assert "--drop lzf" in found.build
    assert "lzf must be left out: Zarr has no codec" in "\n".join(as_lines(inspected))
    monkeypatch.chdir(tmp_path)
    assert virtual_zarr.main(suggested(found)) == 0


def check_against_build(path: Path) -> None:
    """What h5py says of a file's variables is what parsing makes of them, if it can parse it."""
    source = look_up(f"file://{path}", Access())
    try:
        parsed = parse_file(source, Access())
    except Exception:
        return
    said = describe(source, fetch(source.url, Access(), source.size))
    for group, part in {"": parsed, **parsed.children}.items():
        for name, variable in part.dataset.variables.items():
            found = said.variables[f"{group}/{name}".lstrip("/")]
            kind = "native" if name in part.native else "loaded"
            kind = "virtual" if name in part.virtual else kind
            assert (name, found.storage, found.shape) == (name, kind, variable.shape), found.reason
            if kind == "virtual":
                assert (
                    found.chunks == manifest_chunk_shape(variable.data.metadata)
                    or found.references == 0
                ), name
                assert found.references >= int((variable.data.manifest._paths != "").sum()), name


def test_description_agrees_with_parsing(
    sample_folder: Path, format_folder: Path, tmp_path: Path
) -> None:
    files = [*DATA.glob("*.h5"), *DATA.glob("*.nc"), write_hazards(tmp_path / "hazards.h5")]
    files += [*sample_folder.glob("*/*.nc"), *format_folder.glob("hdf5/*")]
    files = [file for file in files if file.name != "ref_tst_dims.nc"]
    assert len(files) > 20
    for file in files:
        check_against_build(file)


@pytest.fixture
def with_broken_files(daily: list[Path], tmp_path: Path) -> Path:
    content = daily[0].read_bytes()
    (tmp_path / "empty.nc").touch()
    (tmp_path / "truncated.nc").write_bytes(content[: len(content) // 2])
    (tmp_path / "page.nc").write_text("<!DOCTYPE html><html>Log in</html>")
    (tmp_path / "table.nc").write_text("time,v\n1,2\n")
    with h5py.File(tmp_path / "nothing.nc", "w"):
        pass
    return tmp_path


def test_broken_files_are_reported_and_it_goes_on(
    with_broken_files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = virtual_zarr.main(["inspect", f"{with_broken_files}/*.nc", "--json"])
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert status == 1
    assert captured.err == "inspected: 9/9\n"
    assert [len(found["files"]) for found in report["sets"]] == [4]
    reasons = {url.rpartition("/")[2]: why for url, why in report["unreadable"].items()}
    for name, why in {
        "empty.nc": "the file is empty",
        "truncated.nc": "cannot be read: OSError: Unable to synchronously open file (truncated",
        "page.nc": "an HTML page",
        "table.nc": "plain text",
        "nothing.nc": "holds no variables",
    }.items():
        assert f"/{name}: {why}" in reasons[name]
    assert virtual_zarr.main(["inspect", f"{with_broken_files}/*.nc", "--quiet"]) == 1
    captured = capsys.readouterr()
    assert "5 files cannot be used:" in captured.out
    assert captured.err == ""


def test_names_and_kinds_of_files(tmp_path: Path) -> None:
    names = ["a b.nc", "c[1].nc", "d+e.nc", "f%.nc", "ü.nc"]
    for n, name in enumerate(names):
        Recipe(start=2 * n).write(tmp_path / name)
    for name in ("h#1.nc", "i?.nc", "j%20k.nc"):
        Recipe().write(tmp_path / name)
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "loop.nc").symlink_to("loop.nc")
    (tmp_path / "nowhere.nc").symlink_to("gone.nc")
    os.mkfifo(tmp_path / "pipe.nc")
    inspected = inspect(tmp_path / "*.nc", tmp_path / "folder.nc")
    found = only_set(inspected)
    assert [url.rpartition("/")[2] for url in found.files] == names
    reasons = {url.rpartition("/")[2]: why for url, why in inspected.unreadable.items()}
    for name, why in {
        "folder.nc": "a folder without Zarr metadata",
        "h#1.nc": "a reference is a URL, in which '#' has a meaning of its own",
        "i?.nc": "in which '?' has",
        "j%20k.nc": "in which '%20' has",
        "loop.nc": "is no file, but a link that leads nowhere",
        "nowhere.nc": "is no file, but a link that leads nowhere",
        "pipe.nc": "is no file, but a pipe or a device",
    }.items():
        assert f"/{name}: " in reasons[name]
        assert why in reasons.pop(name)
    assert reasons == {}
    built = build([url.removeprefix("file://") for url in found.files], f"{tmp_path}/r", Access())
    assert built.references == len(names) * 2 + 2


def test_files_without_a_coordinate_follow_their_names(tmp_path: Path) -> None:
    for n in (1, 2, 10):
        dataset = xr.Dataset({"v": ("x", [float(n)])})
        encoding = {"v": {"chunksizes": (1,)}}
        path = tmp_path / f"f{n}.nc"
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding, unlimited_dims=["x"])
    found = only_set(inspect(tmp_path / "*.nc"))
    assert [url.rpartition("/")[2] for url in found.files] == ["f1.nc", "f2.nc", "f10.nc"]
    (note,) = found.notes
    assert note == "no coordinate along x: the files lie in the order of their names, or as given"
    built = build([f"{tmp_path}/*.nc"], str(tmp_path / "repo"), Access())
    assert built.sources == found.files
    (note,) = built.notes
    assert note.startswith("no coordinate says in which order the files lie along x")


def test_nothing_matches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert virtual_zarr.main(["inspect", str(tmp_path / "*.nc")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_scalar_times_and_groups(sample_folder: Path, tmp_path: Path) -> None:
    found = only_set(inspect(f"{sample_folder}/goes/*.nc"))
    assert (found.along, found.step, found.combine) == ("t", "1 h", None)
    assert "--concat-dim t" in found.build
    with netCDF4.Dataset(tmp_path / "groups.nc", "w") as file:
        file.createDimension("time", None)
        group = file.createGroup("science").createGroup("level2")
        group.createVariable("v", "f4", ("time",))[:] = [1, 2, 3]
    found = only_set(inspect(tmp_path / "groups.nc"))
    assert (found.along, found.lengths) == ("time", [3])
    assert found.variables["science/level2/v"].dims == ("time",)


def test_other_formats_are_described_as_build_parses_them() -> None:
    inspected = inspect(DATA / "test0.fits", DATA / "era5_levels_members.grib")
    grib, fits = sorted(inspected.sets, key=lambda found: found.file_format, reverse=True)
    assert {found.file_format for found in (grib, fits)} == {"grib", "fits"}
    assert grib.variables["isobar/instant/z"].codecs == ("gribberish",)


def test_objects_on_s3(enter_world: Callable[[str], None]) -> None:
    enter_world("s3-public")
    access = Access(anonymous=True, region="us-east-1")
    found = only_set(inspect_files(["s3://noaa-goes16/ABI-L2-CMIPF/2024/001/*/*.nc"], access))
    assert (len(found.files), found.along) == (3, "t")


def test_five_hundred_files_in_seconds(daily: list[Path], tmp_path: Path) -> None:
    """Under 20 s and 400 MB, imports included; processor time, whatever else the machine does."""
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(500):
        shutil.copy(daily[0], folder / f"f{n:03}.nc")
    # Not ru_maxrss, which a new process has from the one that started it.
    measure = (
        "import os, re, sys, virtual_zarr\n"
        "status = virtual_zarr.main(sys.argv[1:])\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]\n"
        "print(status, peak, sum(os.times()[:2]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, "inspect", f"{folder}/*.nc", "--json", "--quiet"],
        cwd=TOOL.parent,
        capture_output=True,
        text=True,
        timeout=240,
    )
    status, kilobytes, seconds = map(float, done.stderr.split())
    assert status == 0
    assert kilobytes < 400 * 1024
    assert seconds < 20
    (found,) = json.loads(done.stdout)["sets"]
    assert len(found["files"]) == 500
    assert len(found["overlaps"]) == 499
