"""What ``build`` accepts reads back equal; what it refuses names a real difference."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from making import Recipe
from vzarr.append import append
from vzarr.build import build
from vzarr.errors import Refused
from vzarr.storage import Access

FIRST = Recipe()
SECOND = Recipe(start=2, epoch="2000-01-03")

REFUSED = {
    "scale_factor": (replace(SECOND, scale=0.25), "v", "0.25", "0.5"),
    "add_offset": (replace(SECOND, offset=12.0), "v", "12.0", "10.0"),
    "_FillValue": (replace(SECOND, fill=-98), "v", "-98", "-99"),
    "units": (replace(SECOND, units="degC"), "v", "degC", "K"),
    "calendar": (replace(SECOND, calendar="noleap"), "time", "noleap", "standard"),
    "dtype": (replace(SECOND, dtype="i4"), "v", "int32", "int16"),
    "chunk shape": (replace(SECOND, chunk=2), "v", "(2, 4)", "(1, 4)"),
    "codecs": (replace(SECOND, level=9), "v", "9", "4"),
    "jitter": (replace(SECOND, jitter=1e-9), "lat", "1e-09", "0.0"),
    "static variable": (replace(SECOND, mask=2.0), "mask", "2.0", "1.0"),
    "overlap": (replace(SECOND, start=1), "time", "2000-01-02", "2000-01-02"),
}


def make(folder: Path, recipes: list[Recipe]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return [str(recipe.write(folder / f"f{number}.nc")) for number, recipe in enumerate(recipes)]


def open_built(repository: Path, folder: Path) -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    return xr.open_zarr(repo.readonly_session("main").store, consolidated=False)


@pytest.mark.parametrize("case", REFUSED)
def test_difference_is_refused_with_both_values(tmp_path: Path, case: str) -> None:
    second, variable, value, expected = REFUSED[case]
    files = make(tmp_path / "data", [FIRST, second])
    with pytest.raises(Refused) as raised:
        build(files, str(tmp_path / "repo"), Access())
    sentence = str(raised.value)
    for part in (variable, value, expected, "f0.nc", "f1.nc"):
        assert part in sentence
    assert not (tmp_path / "repo").exists()


def test_partial_chunk_is_refused_but_for_the_last_file(tmp_path: Path) -> None:
    odd, even = Recipe(steps=3, chunk=2), Recipe(start=3, steps=2, chunk=2)
    files = make(tmp_path / "data", [odd, even])
    with pytest.raises(Refused, match="a multiple of the chunk length 2"):
        build(files, str(tmp_path / "repo"), Access())
    even, odd = Recipe(steps=2, chunk=2), Recipe(start=2, steps=3, chunk=2)
    built = build(make(tmp_path / "ok", [even, odd]), str(tmp_path / "repo"), Access())
    assert built.sizes["time"] == 5


def test_variable_missing_in_one_file_is_refused(tmp_path: Path) -> None:
    files = make(tmp_path / "data", [FIRST, SECOND])
    with netCDF4.Dataset(files[1], "a") as file:
        file.createVariable("extra", "f4", ("time",))[:] = 0
    with pytest.raises(Refused, match="extra: the variable is present, but absent"):
        build(files, str(tmp_path / "repo"), Access())


def test_skip_bad_names_what_it_left_out(tmp_path: Path) -> None:
    files = make(tmp_path / "data", [FIRST, replace(SECOND, scale=0.25), Recipe(start=4)])
    junk = tmp_path / "data" / "junk.nc"
    junk.write_text("not a file of any format")
    built = build([*files, str(junk)], str(tmp_path / "repo"), Access(), skip_bad=True)
    assert built.sizes["time"] == 4
    assert len(built.left_out) == 2
    assert any("junk.nc" in line and "not NetCDF or HDF5" in line for line in built.left_out)
    assert any("f1.nc" in line and "scale_factor" in line for line in built.left_out)


@pytest.mark.parametrize("file_format", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"])
def test_formats_and_order(tmp_path: Path, file_format: str) -> None:
    """Files given in the wrong order are put in order of time; epochs may differ."""
    recipes = [
        Recipe(start=start, epoch=f"2000-01-{start + 1:02d}", format=file_format)
        for start in (4, 0, 2)
    ]
    files = make(tmp_path / "data", recipes)
    built = build(files, str(tmp_path / "repo"), Access())
    assert built.concat_dim == "time"
    with open_built(tmp_path / "repo", tmp_path / "data") as ds:
        np.testing.assert_array_equal(ds.v, Recipe(steps=6).values)
        assert ds.indexes["time"].is_monotonic_increasing
    assert "v" in built.virtual


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "standard"])
def test_calendars_are_kept(tmp_path: Path, calendar: str) -> None:
    files = make(tmp_path / "data", [replace(r, calendar=calendar) for r in (FIRST, SECOND)])
    build(files, str(tmp_path / "repo"), Access())
    with open_built(tmp_path / "repo", tmp_path / "data") as ds:
        assert ds.time.encoding["calendar"] == calendar
        sources = [xr.open_dataset(file).time.values for file in files]
        assert ds.time.values.tolist() == np.concatenate(sources).tolist()


def test_workers_give_the_same_result(tmp_path: Path) -> None:
    files = make(tmp_path / "data", [Recipe(start=2 * n) for n in range(6)])
    built = build(files, str(tmp_path / "repo"), Access(), workers=2)
    assert built.sizes["time"] == 12
    with open_built(tmp_path / "repo", tmp_path / "data") as ds:
        np.testing.assert_array_equal(ds.v, Recipe(steps=12).values)


recipes = st.builds(
    Recipe,
    steps=st.integers(1, 4),
    dtype=st.sampled_from(["i2", "i2", "i2", "i4"]),
    scale=st.sampled_from([0.5, 0.5, 0.5, 0.25]),
    offset=st.sampled_from([10.0, 10.0, 10.0, 12.0]),
    fill=st.sampled_from([-99, -99, -99, -98]),
    units=st.sampled_from(["K", "K", "K", "degC"]),
    epoch=st.sampled_from(["2000-01-01", "1990-01-01"]),
    chunk=st.sampled_from([1, 1, 2]),
    level=st.sampled_from([4, 4, 4, 9]),
    shuffle=st.sampled_from([True, True, True, False]),
    jitter=st.sampled_from([0.0, 0.0, 0.0, 1e-9]),
    mask=st.sampled_from([1.0, 1.0, 1.0, 2.0]),
)


WORDS = {
    "dtype": "dtype",
    "scale": "scale_factor",
    "offset": "add_offset",
    "fill": "_FillValue",
    "units": "units",
    "level": "codecs",
    "shuffle": "codecs",
    "chunk": "chunk",
    "jitter": "lat",
    "mask": "mask",
}
"""Fields of a recipe, and what a refusal for a difference in one says."""


def differences(chosen: list[Recipe]) -> set[str]:
    """The words for what must not differ between files, and does."""
    values = [asdict(recipe) for recipe in chosen]
    found = {word for key, word in WORDS.items() if len({value[key] for value in values}) > 1}
    if any(recipe.steps % recipe.chunk for recipe in chosen[:-1]):
        found |= {"a multiple of the chunk length", "the last of them partial"}
    return found


@pytest.mark.parametrize("number", range(5))
def test_accepted_reads_back_and_refused_differs(tmp_path: Path, number: int) -> None:
    """300 sets of files in all, half of them built at once, half by ``build`` and ``append``."""

    @seed(number)
    @settings(
        max_examples=int(os.environ.get("VZARR_EXAMPLES", "60")),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(chosen=st.lists(recipes, min_size=2, max_size=3), grows=st.booleans())
    def check(chosen: list[Recipe], grows: bool) -> None:
        check_set(tmp_path, chosen, grows)

    check()


def check_set(place: Path, chosen: list[Recipe], grows: bool) -> None:
    folder, repository = place / "data", place / "repo"
    for leftover in (folder, repository):
        shutil.rmtree(leftover, ignore_errors=True)
    start = 0
    for number, recipe in enumerate(chosen):
        chosen[number] = replace(recipe, start=start, chunk=min(recipe.chunk, recipe.steps))
        start += recipe.steps
    files = make(folder, chosen)
    differing = differences(chosen)
    refusal = ""
    try:
        build(files[:1] if grows else files, str(repository), Access())
        if grows:
            append(files[1:], str(repository), Access())
    except Refused as error:
        refusal = str(error)
    if refusal:
        assert any(word in refusal for word in differing), (refusal, differing)
        assert repository.exists() == grows
        chosen = chosen[:1]
    else:
        assert not differing
    if repository.exists():
        with open_built(repository, folder) as ds:
            expected = np.concatenate([recipe.values for recipe in chosen])
            np.testing.assert_array_equal(ds.v, expected)
            assert ds.indexes["time"].is_monotonic_increasing
            np.testing.assert_array_equal(ds.lat, np.arange(4.0) + chosen[0].jitter)


def put_together(files: list[str], repository: Path, grows: bool) -> None:
    """All files at once, or the first two and then the others."""
    build(files[:2] if grows else files, str(repository), Access())
    if grows:
        append(files[2:], str(repository), Access())


def unwritten(folder: Path, fills: list[float]) -> list[str]:
    """HDF5 files of two days, whose second was never written, and that name no ``_FillValue``."""
    folder.mkdir()
    for number, fill in enumerate(fills):
        with h5py.File(folder / f"f{number}.h5", "w") as file:
            time = file.create_dataset("time", data=[2.0 * number, 2 * number + 1])
            time.attrs["units"] = "days since 2000-01-01"
            time.make_scale("time")
            v = file.create_dataset("v", (2,), "f4", chunks=(1,), fillvalue=fill)
            v[0] = number
            v.dims[0].attach_scale(time)
    return [str(folder / f"f{number}.h5") for number in range(len(fills))]


@pytest.mark.parametrize("grows", [False, True])
def test_what_was_never_written_has_one_fill_value(tmp_path: Path, grows: bool) -> None:
    """More files than are compared before the commit: the check alone has to find it."""
    files = unwritten(tmp_path / "data", [0.0] * 4 + [5.0] + [0.0] * 7)
    with pytest.raises(Refused, match=r"f4.h5: v: the fill value is 5.0, but 0.0 in"):
        put_together(files, tmp_path / "repo", grows)


def test_fill_values_of_arrays_that_are_whole_may_differ(tmp_path: Path) -> None:
    files = unwritten(tmp_path / "data", [0.0, 5.0])
    for file in files:
        with h5py.File(file, "a") as changed:
            changed["v"][1] = 9.0
    build(files, str(tmp_path / "repo"), Access())
    with open_built(tmp_path / "repo", tmp_path / "data") as ds:
        assert ds.v.values.tolist() == [0, 9, 1, 9]


MEANINGS = {
    "units of a static variable": ("mask", "units", "m", "ft"),
    "flags": ("v", "flag_meanings", "good bad", "bad good"),
}


@pytest.mark.parametrize("case", MEANINGS)
@pytest.mark.parametrize("grows", [False, True])
def test_another_meaning_of_the_same_numbers_is_refused(
    tmp_path: Path, case: str, grows: bool
) -> None:
    name, key, usual, odd = MEANINGS[case]
    files = make(tmp_path / "data", [Recipe(start=2 * n) for n in range(12)])
    for number, path in enumerate(files):
        with netCDF4.Dataset(path, "a") as file:
            file[name].setncattr(key, odd if number == 4 else usual)
    with pytest.raises(Refused, match=rf"f4.nc: {name}: {key} is {odd}, but {usual} in"):
        put_together(files, tmp_path / "repo", grows)
