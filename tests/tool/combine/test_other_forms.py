"""Some files store a variable in another form than the rest: their part of the array is copied, if
every value stays what it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from making import Recipe
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

FORMS: dict[str, dict] = {
    "dtype": {"dtype": "i4"},
    "float": {"dtype": "f4", "scale": None, "offset": None, "fill": -99.0},
    "scale": {"scale": 0.25},
    "offset": {"offset": 12.0},
    "fill": {"fill": -98},
    "codecs": {"shuffle": False},
    "checksum": {"fletcher32": True},
    "NetCDF3": {"format": "NETCDF3_64BIT_OFFSET"},
}


def make(folder: Path, recipes: list[Recipe]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [str(r.write(folder / f"f{number}.nc")) for number, r in enumerate(recipes)]
    with netCDF4.Dataset(files[-1], "a") as file:
        file["v"][0, 1] = np.ma.masked
    return files


def stored(repository: Path, folder: Path) -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    return xr.open_zarr(store, consolidated=False, chunks=None).load()


def check(repository: Path, files: list[str]) -> None:
    found = stored(repository, Path(files[0]).parent)
    parts = []
    for file in files:
        with xr.open_dataset(file, engine="netcdf4") as dataset:
            parts.append(dataset.load())
    truth = xr.concat(parts, "time", data_vars="minimal", coords="minimal", compat="equals")
    found, truth = (each.assign(v=each.v.astype("f8")) for each in (found, truth))
    xr.testing.assert_equal(found, truth)
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed, report.failures


def four(changes: dict, odd: int, steps: int = 2, chunk: int = 1) -> list[Recipe]:
    """Four files, one of which has ``changes``."""
    files = [Recipe(start=n * steps, steps=steps, chunk=chunk) for n in range(4)]
    files[odd] = replace(files[odd], **changes)
    return files


@pytest.mark.parametrize("history", ["first", "last", "append", "batches", "unequal"])
@pytest.mark.parametrize("form", FORMS)
def test_a_file_in_another_form(tmp_path: Path, form: str, history: str) -> None:
    odd = 0 if history == "first" else 2
    steps, chunk = (3, 2) if history == "unequal" else (2, 1)
    files = make(tmp_path / "data", four(FORMS[form], odd, steps, chunk))
    repo, access = tmp_path / "repo", Access()
    way = "rectilinear" if history == "unequal" else "copy"
    if history == "append":
        build(files[:2], str(repo), access)
        with pytest.raises(Refused, match=r"1 of 2 files store it otherwise, as .*f2.nc: v: "):
            append(files, str(repo), access)
        append(files, str(repo), access, irregular=way)
    else:
        batch = 1 if history == "batches" else None
        built = build(files, str(repo), access, irregular=way, batch=batch)
        assert built.virtual == ["crs", "mask", "v"]
        told = built.ways["v"]
        if history in ("first", "last"):
            assert (told["kind"], told["native"]) == ("partly", 2 * 4 * 2)
            assert f"f{odd}.nc: v: " in told["why"]
            assert told["virtual"] == 3 * 2 * 4 * 2
    check(repo, files)


@pytest.mark.parametrize("form", FORMS)
def test_the_choice_is_asked_for(tmp_path: Path, form: str) -> None:
    files = make(tmp_path / "data", four(FORMS[form], 2))
    with pytest.raises(Refused, match=r"--irregular copy \(16B copied, 48B virtual"):
        build(files, str(tmp_path / "repo"), Access())
    built = build(files, str(tmp_path / "repo"), Access(), skip_bad=True)
    assert len(built.left_out) == 1
    assert "f2.nc" in built.left_out[0]


def test_few_bytes_are_copied_without_a_word(tmp_path: Path) -> None:
    recipes = [Recipe(start=2 * n) for n in range(24)]
    recipes[5] = replace(recipes[5], dtype="i4", scale=0.25)
    files = make(tmp_path / "data", recipes)
    built = build(files, str(tmp_path / "repo"), Access())
    assert built.ways["v"]["kind"] == "partly"
    check(tmp_path / "repo", files)


def test_values_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    files = make(tmp_path / "data", four({"scale": 0.3}, 2))
    with pytest.raises(Refused, match=r"f2.nc: v: \d of 8 values cannot be kept .* off by up to 0"):
        build(files, str(tmp_path / "repo"), Access(), irregular="copy")
    assert not (tmp_path / "repo").exists()


@pytest.mark.parametrize("history", ["build", "batches", "append"])
def test_a_packing_of_each_file_can_be_unpacked(tmp_path: Path, history: str) -> None:
    """As ERA5 by request, and daily images: no two files have the same scale and offset."""
    recipes = [
        Recipe(start=2 * n, scale=0.01 * (1 + n / 7), offset=290.0 + n / 3) for n in range(4)
    ]
    files = make(tmp_path / "data", recipes)
    repo, access = str(tmp_path / "repo"), Access()
    with pytest.raises(Refused, match=r"add_offset|scale_factor") as refused:
        build(files, repo, access)
    assert "--irregular decode (256B copied as values)" in str(refused.value)
    with pytest.raises(Refused, match="Copy the values of all files with --irregular decode"):
        build(files, repo, access, irregular="copy")
    if history == "append":
        build(files[:2], repo, access, irregular="decode")
        append(files, repo, access)
    else:
        built = build(
            files, repo, access, irregular="decode", batch=2 if history == "batches" else None
        )
        assert (built.ways["v"]["kind"], built.ways["v"]["virtual"]) == ("decode", 0)
    check(tmp_path / "repo", files)
    found = stored(tmp_path / "repo", tmp_path / "data")
    assert found.v.attrs == {"units": "K"}
    assert not {"scale_factor", "add_offset"} & found.v.encoding.keys()


@pytest.mark.parametrize("key", ["units", "calendar"])
def test_what_means_something_else_is_no_form(tmp_path: Path, key: str) -> None:
    changes = {"units": {"units": "degC"}, "calendar": {"calendar": "noleap"}}[key]
    files = make(tmp_path / "data", four(changes, 2))
    with pytest.raises(Refused, match=key):
        build(files, str(tmp_path / "repo"), Access(), irregular="copy")


def test_chunks_of_another_shape(tmp_path: Path) -> None:
    def write(number: int, chunks: tuple[int, int, int] | None) -> str:
        path = tmp_path / f"c{number}.nc"
        with netCDF4.Dataset(path, "w") as file:
            for name, size in (("time", None), ("y", 4), ("x", 6)):
                file.createDimension(name, size)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2000-01-01"
            time[:] = 2 * number + np.arange(2)
            options = {"zlib": True, "chunksizes": chunks}
            v = file.createVariable("v", "f4", ("time", "y", "x"), **options)
            v[:] = np.random.default_rng(number).random((2, 4, 6))
        return str(path)

    files = [write(n, (1, 4, 6) if n != 1 else (2, 2, 3)) for n in range(4)]
    built = build(files, str(tmp_path / "repo"), Access(), irregular="copy")
    assert "the chunk shape is (2, 2, 3), but (1, 4, 6)" in built.ways["v"]["why"]
    check(tmp_path / "repo", files)


def test_a_file_that_was_written_again_in_its_form(tmp_path: Path) -> None:
    recipes = four(FORMS["dtype"], 2)
    files = make(tmp_path / "data", recipes)
    build(files, str(tmp_path / "repo"), Access(), irregular="copy")
    replace(recipes[1], shift=3.0).write(Path(files[1]))
    os.utime(files[1], (2e9, 2e9))
    refresh(str(tmp_path / "repo"), Access())
    check(tmp_path / "repo", files)


@pytest.mark.parametrize("number", range(3))
def test_sets_that_differ_in_several_ways(tmp_path: Path, number: int) -> None:
    """Random sets: the store reads as its sources, or the refusal names a real reason."""
    random = np.random.default_rng(number)
    outcomes = []
    for trial in range(15):
        recipes, start = [], 0
        for _ in range(int(random.integers(2, 5))):
            steps = int(random.integers(1, 5))
            changes: dict = {"chunk": min(steps, int(random.integers(1, 3)))}
            for form in random.choice(list(FORMS), int(random.integers(0, 3)), replace=False):
                if random.random() < 0.5:
                    changes |= FORMS[form]
            recipes.append(Recipe(start=start, steps=steps, **changes))
            start += steps
        folder = tmp_path / str(trial)
        files = make(folder / "data", recipes)
        way = str(random.choice(["rectilinear", "copy"]))
        history: Callable[[], object] = _histories(files, folder / "repo", way, random)
        try:
            history()
        except Refused as error:
            outcomes.append(str(error))
            continue
        outcomes.append("")
        check(folder / "repo", files)
    assert outcomes.count("") >= 8
    assert all("cannot be kept" in sentence for sentence in outcomes if sentence), outcomes


def _histories(files: list[str], repo: Path, way: str, random: np.random.Generator) -> Callable:
    cut = int(random.integers(1, len(files) + 1))

    def run() -> None:
        build(files[:cut], str(repo), Access(), irregular=way)
        for number in range(cut, len(files)):
            append(files[: number + 1], str(repo), Access(), irregular=way)

    return run
