"""Options: a name that selects nothing, or an option that does not apply, is an error."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import virtual_zarr
import xarray as xr
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.relocate import repoint
from vzarr.commands.verify import verify_named, verify_repository
from vzarr.errors import InputError
from vzarr.sources.prefixes import container_prefixes, new_prefixes
from vzarr.sources.schemes import Access

TOOL = Path(__file__).parents[3] / "scripts" / "virtual_zarr.py"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        try:
            status = virtual_zarr.main([str(argument) for argument in arguments])
        except SystemExit as stopped:  # argparse
            status = int(stopped.code or 0)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, captured.out, captured.err)

    return call


def grouped(path: Path, start: int, rooms: tuple[str, ...] = ("ga", "gb"), more: str = "") -> Path:
    """Two days in each group: ``v`` along time, in ``gb`` a mask without it; ``more`` in ``ga``."""
    with netCDF4.Dataset(path, "w") as file:
        for number, name in enumerate(rooms):
            group = file.createGroup(name)
            group.createDimension("time", 2)
            group.createDimension("x", 3)
            time = group.createVariable("time", "f8", ("time",))
            time.units = "days since 2000-01-01"
            time[:] = [start, start + 1]
            v = group.createVariable("v", "f4", ("time", "x"), chunksizes=(1, 3))
            v[:] = np.arange(6).reshape(2, 3) + start + 100 * number
            if name == "gb":
                group.createVariable("mask", "i4", ("x",))[:] = 1
            if more and name == "ga":
                group.createVariable(more, "f4", ("time", "x"), chunksizes=(1, 3))[:] = 5
    return path


def plain(folder: Path, *starts: int, **changes: object) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        str(Recipe(start=start, epoch="2000-01-03", **changes).write(folder / f"d{start:03}.nc"))
        for start in starts
    ]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    return [str(grouped(tmp_path / f"g{start}.nc", start)) for start in (0, 2)]


def refused(run: Run, *arguments: str | Path) -> str:
    """The sentence of a call that has to end with status 2 and nothing else."""
    done = run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--drop", "maks"], "--drop maks: no file has .* there are: gb/mask, ga, ga/time, "),
        (
            ["--drop", "mask", "--drop", "nothing"],
            "--drop nothing: no file has a variable or group",
        ),
        (["--drop", "ga/mask"], "--drop ga/mask: .* there are: gb/mask, "),
        (["--drop", "/"], "--drop /: would leave nothing"),
        (["--group", "ga", "--group", "typo"], "--group typo: no file has .*: ga, gb\\."),
        (["--group", "gaa"], "--group gaa: no file has a group of this name; there are: ga, gb\\."),
        (["--group", "ga", "--drop", "mask"], "--drop mask: .* there are: ga, ga/time, ga/v\\."),
    ],
)
def test_build_names_what_there_is(
    run: Run, files: list[str], tmp_path: Path, options: list[str], sentence: str
) -> None:
    said = refused(run, "build", *files, "--repo", tmp_path / "repo", *options, "--quiet")
    assert re.search(sentence, said), said
    assert not (tmp_path / "repo").exists()


def test_names_in_some_files_select_something(tmp_path: Path) -> None:
    """The second file has one variable more, which is left out; leading slashes mean nothing."""
    paths = [
        str(grouped(tmp_path / "g0.nc", 0)),
        str(grouped(tmp_path / "g2.nc", 2, more="extra")),
    ]
    for number, name in enumerate(("extra", "ga/extra", "/ga/extra")):
        repository = str(tmp_path / f"repo{number}")
        build(paths, repository, Access(), drop=(name,))
        assert verify_repository(repository, Access(), sample=None).passed


def test_name_of_a_late_batch_selects_something(tmp_path: Path) -> None:
    """A name is judged by all files before the first is parsed, however they are batched."""
    paths = [str(grouped(tmp_path / f"g{n}.nc", n)) for n in range(0, 6, 2)]
    paths.append(str(grouped(tmp_path / "g6.nc", 6, more="extra")))
    build(paths, str(tmp_path / "repo"), Access(), drop=("extra",), batch=1)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed
    with pytest.raises(InputError, match="--drop typo"):
        build(paths, str(tmp_path / "other"), Access(), drop=("typo",), batch=1)
    assert not (tmp_path / "other").exists()


def test_names_of_other_formats(run: Run, format_folder: Path, tmp_path: Path) -> None:
    for name in ("grib/forecast_00.grib2", "zarr/v3.zarr", "kerchunk/sst_1.parquet"):
        source = format_folder / name
        said = refused(run, "build", source, "--repo", tmp_path / "repo", "--drop", "typo")
        assert "--drop typo: no file has a variable or group of this name; there are: " in said
        assert "none" not in said


def test_migrate_names_what_there_is(run: Run, format_folder: Path, tmp_path: Path) -> None:
    source = format_folder / "kerchunk" / "sst_1.parquet"
    said = refused(run, "migrate", source, "--repo", tmp_path / "repo", "--drop", "sstt")
    assert "there are: sst" in said


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--skip", "maks"], "--skip maks: .* there are: gb/mask, "),
        (["--concat-dim", "tiem"], "--concat-dim tiem: .* there are: time, x\\."),
        (["--group", "gbb"], "--group gbb: .* there are: gb, ga\\."),
    ],
)
def test_verify_names_what_there_is(
    run: Run, files: list[str], tmp_path: Path, options: list[str], sentence: str
) -> None:
    build(files, str(tmp_path / "repo"), Access())
    said = refused(run, "verify", "--repo", tmp_path / "repo", "--source", *files, *options)
    assert re.search(sentence, said), said
    right = verify_named(
        str(tmp_path / "repo"), files, Access(), skip=("mask",), concat_dim="time", sample=None
    )
    assert right.passed
    assert not verify_named(str(tmp_path / "repo"), files, Access()).dropped


def test_every_source_is_taken(run: Run, files: list[str], tmp_path: Path) -> None:
    """A second ``--source`` adds files; it does not take the place of the first."""
    build(files, str(tmp_path / "repo"), Access())
    named = [part for file in files for part in ("--source", file)]
    done = run("verify", "--repo", tmp_path / "repo", *named, "--json", "--quiet")
    assert json.loads(done.stdout)["sources"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["verify", "--group", "ga"], "--group has a meaning only with --source"),
        (["verify", "--concat-dim", "time"], "--concat-dim has a meaning only with --source"),
        (["verify", "--skip", "v"], "--skip has a meaning only with --source"),
        (["verify", "--sample", "0"], "0 is not a number of at least 1"),
        (["verify", "--sample", "-3"], "-3 is not a number of at least 1"),
        (["verify", "--sample", "some"], "'some' is not a number of at least 1"),
        (["verify", "--group", "ga", "--group", "gb"], "argument --group: given more than once"),
        (["refresh", "--all"], "--all has a meaning only with --from and --to"),
        (["refresh", "--from", "/a"], "--from and --to belong together"),
        (
            ["refresh", "--content", "--from", "/a", "--to", "/b"],
            "--content has a meaning only without --from and --to",
        ),
        (["build", "f.nc", "--concat-dim", ""], "argument --concat-dim: its value is empty"),
        (["build", "f.nc", "--drop", ""], "argument --drop: its value is empty"),
        (["build", "f.nc", "--skip", "v"], "unrecognized arguments: --skip"),
        (["append", "f.nc", "--workers", "2", "--dask", "tcp://h:1"], "not allowed with"),
        (["append", "f.nc", "--prefix", "s3://"], "names no folder and no bucket"),
    ],
)
def test_options_that_do_not_apply(
    run: Run, files: list[str], tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    build(files, str(tmp_path / "repo"), Access())
    new = grouped(tmp_path / "g4.nc", 4)
    arguments = [str(new) if part == "f.nc" else part for part in arguments]
    assert sentence in refused(run, *arguments, "--repo", tmp_path / "repo")


def test_inspect_says_that_a_dimension_is_new(run: Run, files: list[str]) -> None:
    assert "no file has a dimension or variable member: it is a new dimension" in (
        run("inspect", *files, "--concat-dim", "member", "--quiet").stdout
    )
    assert "a new dimension" not in run("inspect", *files, "--concat-dim", "time").stdout


def test_version_names_tool_and_packages(run: Run) -> None:
    lines = run("--version").stdout.splitlines()
    assert lines[0].startswith("virtual_zarr.py ")
    for name in ("virtualizarr", "icechunk", "xarray", "zarr"):
        assert f"{name} {version(name)}" in lines


def test_length_is_that_of_the_groups_that_grow(tmp_path: Path) -> None:
    """In a store whose groups grow by different numbers each has its own."""

    def write(path: Path, start: int) -> str:
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("x", 2)
            for name, steps in (("fast", 4), ("slow", 2)):
                group = file.createGroup(name)
                group.createDimension("time", steps)
                time = group.createVariable("time", "f8", ("time",))
                time.units = "hours since 2000-01-01"
                time[:] = start * 4 + np.arange(steps) * (4 // steps)
                group.createVariable("v", "f4", ("time", "x"), chunksizes=(1, 2))[:] = start
        return str(path)

    repository = str(tmp_path / "repo")
    build([write(tmp_path / "g0.nc", 0), write(tmp_path / "g1.nc", 1)], repository, Access())
    done = append([write(tmp_path / "g2.nc", 2)], repository, Access())
    assert done.lengths == {"fast": 4, "slow": 2}
    assert done.length is None
    other = str(tmp_path / "other")
    build(
        [str(grouped(tmp_path / "h0.nc", 0)), str(grouped(tmp_path / "h2.nc", 2))], other, Access()
    )
    done = append([str(grouped(tmp_path / "h4.nc", 4))], other, Access())
    assert (done.length, done.lengths) == (2, {"ga": 2, "gb": 2})


def test_no_result_depends_on_an_order_of_chance(tmp_path: Path) -> None:
    """Icechunk returns keys and arrays in another order in each process."""
    rooms = ("gd", "ga", "gc", "gb")
    first = [str(grouped(tmp_path / f"g{n}.nc", n, rooms, more="extra")) for n in (0, 2)]
    build(first, str(tmp_path / "repo"), Access(), drop=("mask", "extra"))
    grouped(tmp_path / "g4.nc", 4, rooms, more="extra")

    def outputs(seed: int) -> list[str]:
        place = tmp_path / f"copy{seed}"
        code = (
            "import shutil, sys, virtual_zarr\n"
            f"shutil.copytree({str(tmp_path / 'repo')!r}, {str(place)!r})\n"
            f"for a in (['verify', '--all'], ['append', {str(tmp_path / 'g4.nc')!r}],\n"
            "          ['verify', '--all']):\n"
            f"    virtual_zarr.main([*a, '--repo', {str(place)!r}, '--json', '--quiet'])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=TOOL.parent,
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(TOOL.parent)},
        )
        assert done.returncode == 0, done.stderr
        lines = done.stdout.replace(str(place), "repo").splitlines()
        return [line for line in lines if '"snapshot"' not in line]

    assert outputs(1) == outputs(2) == outputs(3)


# Where readers authorize


@pytest.mark.parametrize(
    ("urls", "patterns", "prefix"),
    [
        ("s3://b/2024/001/a.nc", "s3://b/2024/001/*.nc", "s3://b/"),
        (
            "s3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/a.nc",
            "s3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc",
            "s3://noaa-goes16/ABI-L2-CMIPF/",
        ),
        ("s3://b/hrrr.20240101/conus/a.grib2", "", "s3://b/"),
        ("s3://b/year=2024/month=01/a.nc", "", "s3://b/"),
        ("s3://b/M2T1NXSLV.5.12.4/Y2024/M01/a.nc4", "", "s3://b/M2T1NXSLV.5.12.4/"),
        ("s3://b/cogs/36/Q/WD/2020/7/S2A_36QWD_20200701_0_L2A/a.tif", "", "s3://b/cogs/36/Q/WD/"),
        ("s3://b/prod/v2/a.nc", "s3://b/prod/v2/*.nc", "s3://b/prod/v2/"),
        ("s3://b/prod/north/a.nc", "s3://b/prod/*/a.nc", "s3://b/prod/"),
        ("s3://b/prod/run-12/a.nc", "", "s3://b/prod/run-12/"),
        ("gs://b/era5/2024-01-01T00/a.nc", "", "gs://b/era5/"),
        ("https://h/data/2024/a.nc", "https://h/data/2024/a.nc", "https://h/data/"),
        ("file:///data/era5/2024/01/a.nc", "/data/era5/2024/01/*.nc", "file:///data/era5/"),
        ("file:///data/era5/a.nc", "/data/*/a.nc", "file:///data/"),
        ("file:///me/2024-01-02-work/data/a.nc", "", "file:///me/2024-01-02-work/data/"),
        ("file:///2024/a.nc", "", "file:///2024/"),
    ],
)
def test_prefix_of_an_archive(urls: str, patterns: str, prefix: str) -> None:
    assert container_prefixes([urls], [patterns] if patterns else []) == [prefix]


def test_places_without_a_common_folder() -> None:
    assert container_prefixes(["file:///a/x.nc", "file:///b/c/y.nc", "s3://b/z.nc"]) == [
        "file:///a/",
        "file:///b/c/",
        "s3://b/",
    ]


def test_chosen_prefixes_hold_all_files() -> None:
    urls = ["s3://b/prod/2024/a.nc", "s3://c/x/b.nc"]
    assert container_prefixes(urls, chosen=["s3://b", "s3://c/x"]) == ["s3://b/", "s3://c/x/"]
    with pytest.raises(
        InputError, match=r"s3://c/x/b\.nc lies elsewhere; all files lie in s3://b/prod/"
    ):
        container_prefixes(urls, chosen=["s3://b/"])
    with pytest.raises(InputError, match="--prefix s3://d/: no file lies there; they lie in "):
        container_prefixes(urls, chosen=["s3://b/", "s3://d/"])


def test_new_containers_take_nothing_from_those_that_are_authorized() -> None:
    held = ["s3://b/prod/2024/001/"]
    old, new = "s3://b/prod/2024/001/a.nc", "s3://b/prod/2024/002/a.nc"
    assert new_prefixes(held, [old]) == []
    assert new_prefixes(held, [old, new]) == ["s3://b/prod/"]
    assert new_prefixes(held, [new], chosen=["s3://b/"]) == ["s3://b/"]
    assert new_prefixes([*held, "s3://b/"], [new], chosen=["s3://b/"]) == []
    with pytest.raises(InputError, match="--prefix s3://b/: not needed"):
        new_prefixes(held, [old], chosen=["s3://b/"])
    with pytest.raises(InputError, match="--prefix s3://b/prod/2024/002/: lies in s3://b/prod/"):
        new_prefixes(["s3://b/prod/"], [new], chosen=["s3://b/prod/2024/002/"])


def opened(repository: Path, *prefixes: str) -> xr.Dataset:
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access=dict.fromkeys(
            prefixes, icechunk.credentials.LocalFileSystemAccess
        ),
    )
    return xr.open_zarr(repo.readonly_session("main").store, consolidated=False)


def test_readers_of_the_first_day_read_the_newest(run: Run, tmp_path: Path) -> None:
    """What build printed is what a reader has to authorize, also after an append of another day."""
    archive, repository = tmp_path / "archive", tmp_path / "repo"
    plain(archive / "2024" / "001", 0)
    built = build([f"{archive}/2024/001/*.nc"], str(repository), Access())
    assert built.containers == [f"file://{archive}/"]
    plain(archive / "2024" / "002", 2)
    plain(archive / "2025" / "001", 4)
    for day in ("2024/002", "2025/001"):
        assert append([f"{archive}/{day}/*.nc"], str(repository), Access()).containers == []
    np.testing.assert_array_equal(opened(repository, *built.containers).v, Recipe(steps=6).values)


def test_a_chosen_prefix_is_kept(run: Run, tmp_path: Path) -> None:
    archive, repository = tmp_path / "archive", tmp_path / "repo"
    first = plain(archive / "north", 0)
    said = run("build", *first, "--repo", repository, "--prefix", archive, "--quiet").stdout
    assert f"readers authorize: file://{archive}/\n" in said
    done = append(plain(archive / "south", 2), str(repository), Access())
    assert done.containers == []
    np.testing.assert_array_equal(
        opened(repository, f"file://{archive}/").v, Recipe(steps=4).values
    )
    message = f"--prefix {tmp_path}/elsewhere/: no file lies there; they lie in file://"
    with pytest.raises(InputError, match=message.replace("--prefix ", "--prefix file://")):
        build(first, str(tmp_path / "r"), Access(), prefixes=(f"{tmp_path}/elsewhere",))
    assert not (tmp_path / "r").exists()


def test_another_place_leaves_old_readers_what_they_read(run: Run, tmp_path: Path) -> None:
    """A broader container beside an old one: the old chunks keep theirs."""
    archive, repository = tmp_path / "archive", tmp_path / "repo"
    build(plain(archive / "north", 0), str(repository), Access())
    more = plain(archive / "south", 2)
    said = run("append", *more, "--repo", repository, "--prefix", archive, "--quiet").stdout
    assert f"readers have to authorize, too: file://{archive}/" in said
    held, new = f"file://{archive}/north/", f"file://{archive}/"
    np.testing.assert_array_equal(opened(repository, held).v[:2], Recipe(steps=2).values)
    with pytest.raises(icechunk.IcechunkError, match="you need to authorize"):
        opened(repository, held).v[2:].load()
    np.testing.assert_array_equal(opened(repository, held, new).v, Recipe(steps=4).values)
    assert append(plain(archive / "west", 4), str(repository), Access()).containers == []


def test_a_moved_archive_is_authorized_at_its_new_place(tmp_path: Path) -> None:
    """The place that ``--to`` names, not the folder of a day in it."""
    old, new, repository = tmp_path / "old", tmp_path / "new", tmp_path / "repo"
    build(plain(old / "north", 0), str(repository), Access())
    new.mkdir()
    (old / "north").rename(new / "north")
    moved = repoint(str(repository), Access(), str(old), str(new))
    assert f"readers have to authorize, too: file://{new}/" in moved.notes
    done = append(plain(new / "south", 2), str(repository), Access())
    assert done.containers == []
    np.testing.assert_array_equal(opened(repository, f"file://{new}/").v, Recipe(steps=4).values)
