"""What ``build`` accepts reads back equal; what it refuses names a real difference."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
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
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

Edit = Callable[[netCDF4.Dataset], None]
FIRST = Recipe()
SECOND = Recipe(start=2, epoch="2000-01-03")

REFUSED = {
    "scale_factor": (replace(SECOND, scale=0.25), "v", "0.25", "0.5"),
    "add_offset": (replace(SECOND, offset=12.0), "v", "12.0", "10.0"),
    "_FillValue": (replace(SECOND, fill=-98), "v", "-98", "-99"),
    "units": (replace(SECOND, units="degC"), "v", "degC", "K"),
    "calendar": (replace(SECOND, calendar="noleap"), "time", "noleap", "standard"),
    "dtype": (replace(SECOND, dtype="i4"), "v", "int32", "int16"),
    "codecs": (replace(SECOND, shuffle=False), "v", "Zlib", "Shuffle"),
    "jitter": (replace(SECOND, jitter=1e-9), "lat", "1e-09", "0.0"),
    "static variable": (replace(SECOND, mask=2.0), "mask", "2.0", "1.0"),
    "overlap": (replace(SECOND, start=1), "time", "2000-01-02", "2000-01-02"),
}


def test_dimension_that_no_file_has_is_said(tmp_path: Path) -> None:
    """A typing error, or what is meant: the tool cannot know."""
    paths = make(tmp_path / "data", [FIRST])
    built = build(paths, str(tmp_path / "new"), Access(), concat_dim="tme")
    assert [note for note in built.notes if "tme: it is a new dimension" in note]
    built = build(paths, str(tmp_path / "old"), Access(), concat_dim="time")
    assert built.notes == []


def test_file_that_is_left_out_is_not_told_to_be_left_out(tmp_path: Path) -> None:
    paths = make(tmp_path / "data", [FIRST, replace(SECOND, units="degC")])
    built = build(paths, str(tmp_path / "repo"), Access(), skip_bad=True)
    (sentence,) = built.left_out
    assert "units is degC, but K" in sentence
    assert "--skip-bad" not in sentence


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


def test_partial_chunk_can_be_refused_but_for_the_last_file(tmp_path: Path) -> None:
    odd, even = Recipe(steps=3, chunk=2), Recipe(start=3, steps=2, chunk=2)
    files = make(tmp_path / "data", [odd, even])
    with pytest.raises(Refused, match="a multiple of the chunk length 2"):
        build(files, str(tmp_path / "repo"), Access(), irregular="refuse")
    even, odd = Recipe(steps=2, chunk=2), Recipe(start=2, steps=3, chunk=2)
    built = build(make(tmp_path / "ok", [even, odd]), str(tmp_path / "repo"), Access())
    assert built.sizes["time"] == 5


def test_integer_that_nothing_says_is_missing_is_refused(tmp_path: Path) -> None:
    files = make(tmp_path / "data", [FIRST, SECOND])
    with netCDF4.Dataset(files[1], "a") as file:
        file.createVariable("extra", "i4", ("time",))[:] = 0
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


CHOICES: dict[str, list] = {
    "dtype": ["i2", "i4"],
    "scale": [0.5, 0.25],
    "offset": [10.0, 12.0],
    "fill": [-99, -98],
    "units": ["K", "degC"],
    "calendar": ["standard", "noleap"],
    "chunk": [1, 2],
    "level": [4, 9],
    "shuffle": [True, False],
    "fletcher32": [False, True],
    "jitter": [0.0, 1e-9],
    "mask": [1.0, 2.0],
}
"""Fields of a recipe that must agree within a set of files, with two values each."""
FREE = {"steps": [1, 2, 3, 4], "epoch": ["2000-01-01", "1990-01-01"]}


@st.composite
def sets_of_files(draw: st.DrawFn) -> list[Recipe]:
    """Two or three files; in half of the sets one differs from the first in one or two things."""

    def some(choices: dict[str, list]) -> dict[str, object]:
        return {key: draw(st.sampled_from(values)) for key, values in choices.items()}

    chosen = [Recipe(**some(CHOICES | FREE))]
    chosen += [replace(chosen[0], **some(FREE)) for _ in range(draw(st.integers(1, 2)))]
    fields = [*CHOICES, "steps"]
    odd = draw(st.integers(1, len(chosen) - 1))
    changed = draw(st.lists(st.sampled_from(fields), max_size=2, unique=True))
    changed = changed if draw(st.booleans()) else []
    for key in set(changed) & CHOICES.keys():
        (other,) = set(CHOICES[key]) - {getattr(chosen[0], key)}
        chosen[odd] = replace(chosen[odd], **{key: other})
    start = 0
    for number, recipe in enumerate(chosen):
        steps = recipe.steps
        if "steps" not in changed and number < len(chosen) - 1:  # so that the next may follow
            steps = recipe.chunk * -(-steps // recipe.chunk)
        chosen[number] = replace(recipe, start=start, steps=steps, chunk=min(recipe.chunk, steps))
        start += steps
    return chosen


WORDS = {
    "dtype": "dtype",
    "scale": "scale_factor",
    "offset": "add_offset",
    "fill": "_FillValue",
    "units": "units",
    "calendar": "calendar",
    "shuffle": "codecs",
    "fletcher32": "codecs",
    "jitter": "lat",
    "mask": "mask",
}
"""Fields of a recipe, and what a refusal for a difference in one says."""


STORAGE = ("dtype", "scale", "offset", "fill", "shuffle", "fletcher32")
"""Fields of a recipe that decide how values are stored: those of a file may be copied."""


def differences(chosen: list[Recipe], irregular: str | None) -> set[str]:
    """The words for what must not differ between files, and does."""
    values = [asdict(recipe) for recipe in chosen]
    words = {key: word for key, word in WORDS.items() if irregular is None or key not in STORAGE}
    found = {word for key, word in words.items() if len({value[key] for value in values}) > 1}
    is_partial = any(recipe.steps % recipe.chunk for recipe in chosen[:-1])
    if irregular is None and (is_partial or len({recipe.chunk for recipe in chosen}) > 1):
        found.add("which no regular grid of Zarr holds")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_accepted_reads_back_and_refused_differs(tmp_path: Path, number: int) -> None:
    """300 sets of files in all, half of them built at once, half by ``build`` and ``append``."""
    outcomes: Counter[bool] = Counter()

    @seed(number)
    @settings(
        max_examples=int(os.environ.get("VZARR_EXAMPLES", "60")),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(sets_of_files(), st.booleans(), st.sampled_from([None, "rectilinear", "copy"]))
    def check(chosen: list[Recipe], grows: bool, irregular: str | None) -> None:
        outcomes[check_set(tmp_path, chosen, grows, irregular)] += 1

    check()
    print(f"accepted {outcomes[True]}, refused {outcomes[False]}")
    assert min(outcomes[True], outcomes[False]) >= outcomes.total() // 8


def check_set(place: Path, chosen: list[Recipe], grows: bool, irregular: str | None) -> bool:
    """Whether the files were accepted."""
    folder, repository = place / "data", place / "repo"
    for leftover in (folder, repository):
        shutil.rmtree(leftover, ignore_errors=True)
    files = make(folder, chosen)
    differing = differences(chosen, irregular)
    refusal = ""
    try:
        first = files[:1] if grows else files
        build(first, str(repository), Access(), irregular=irregular)
        if grows:
            append(files[1:], str(repository), Access())
    except Refused as error:
        refusal = str(error)
    if refusal:
        words = differing if irregular is None else {*differing, "cannot be kept as the other"}
        assert any(word in refusal for word in words), (refusal, words)
        assert repository.exists() == grows
        chosen, files = chosen[:1], files[:1]
    else:
        assert not differing
    if repository.exists():
        with open_built(repository, folder) as ds:
            expected = np.concatenate([recipe.values for recipe in chosen])
            np.testing.assert_array_equal(ds.v, expected)
            times = [xr.open_dataset(file, engine="h5netcdf").time.values for file in files]
            assert ds.time.values.tolist() == np.concatenate(times).tolist()
            np.testing.assert_array_equal(ds.lat, np.arange(4.0) + chosen[0].jitter)
            np.testing.assert_array_equal(ds.mask, np.full(4, chosen[0].mask))
    return not refusal


def change(path: str, edit: Callable[[netCDF4.Dataset], None]) -> None:
    with netCDF4.Dataset(path, "a") as file:
        edit(file)


def add(name: str, kind: str, dims: tuple[str, ...], value: object, **attributes: object) -> Edit:
    def edit(file: netCDF4.Dataset) -> None:
        variable = file.createVariable(name, kind, dims)
        variable[...] = value
        variable.setncatts(attributes)

    return edit


def edit_h5(path: str, name: str, compact: bool) -> None:
    """Add a small variable along time, in a layout of its own."""
    with h5py.File(path, "a") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT if compact else h5py.h5d.CONTIGUOUS)
        space = h5py.h5s.create_simple((2,))
        made = h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_INT32, space, plan)
        made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([1, 2], "i4"))
        file[name].dims[0].attach_scale(file["time"])


FORMS: dict[str, tuple[Edit, Edit, str]] = {
    "names of dimensions": (
        lambda file: None,
        lambda file: file.renameDimension("lat", "y"),
        r"f1.nc: lat: the tuple of dimensions is \('y',\), but \('lat',\) in .*f0.nc",
    ),
    "order of dimensions": (
        add("w", "f4", ("time", "lat"), 1),
        add("w", "f4", ("lat", "time"), 1),
        r"f1.nc: w: the tuple of dimensions is \('lat', 'time'\), but \('time', 'lat'\) in",
    ),
    "dtype of a static variable": (
        add("depth", "f4", ("lat",), 1),
        add("depth", "f8", ("lat",), 1),
        r"f1.nc: depth: the value is of type float64, but of type float32 in",
    ),
    "only one has a missing_value": (
        add("w", "f4", ("time",), 1),
        add("w", "f4", ("time",), 1, missing_value=np.float32(-1)),
        r"f1.nc: w: missing_value is -1.0, but None in",
    ),
    "a time repeats": (
        lambda file: None,
        lambda file: file["time"].__setitem__(slice(None), 5.0),
        r"f1.nc: time: the order of its values is not strictly increasing",
    ),
    "a time goes back": (
        lambda file: None,
        lambda file: file["time"].__setitem__(slice(None), [6.0, 5.0]),
        r"f1.nc: time: the order of its values is not strictly increasing",
    ),
}


@pytest.mark.parametrize("case", FORMS)
def test_other_forms_are_refused(tmp_path: Path, case: str) -> None:
    *edits, sentence = FORMS[case]
    files = make(tmp_path / "data", [FIRST, SECOND])
    for path, edit in zip(files, edits, strict=True):
        change(path, edit)
    with pytest.raises(Refused, match=sentence):
        build(files, str(tmp_path / "repo"), Access())


def test_another_length_of_a_static_dimension_is_refused(tmp_path: Path) -> None:
    files = make(tmp_path / "data", [FIRST, SECOND])
    with xr.open_dataset(files[1], decode_cf=False) as source:
        shorter = source.isel(lat=slice(3)).load()
    shorter.to_netcdf(files[1])
    sentence = r"f1.nc: lat: the length of lat is 3, but 4 in .*f0.nc.* \(\d more differences"
    with pytest.raises(Refused, match=sentence):
        build(files, str(tmp_path / "repo"), Access())


def test_a_layout_that_only_one_file_has_is_refused(tmp_path: Path) -> None:
    files = make(tmp_path / "data", [FIRST, SECOND])
    for number, path in enumerate(files):
        edit_h5(path, "w", compact=bool(number))
    with pytest.raises(Refused, match=r"f1.nc: w: the kind of storage is native, but virtual in"):
        build(files, str(tmp_path / "repo"), Access())


SAME: dict[str, tuple[Edit, Edit]] = {
    "epoch of a static time": (
        add("origin", "f8", (), 1.0, units="days since 2000-01-01"),
        add("origin", "f8", (), 2.0, units="days since 1999-12-31"),
    ),
    "packing of a static variable": (
        add("depth", "i2", ("lat",), 4, scale_factor=0.5),
        add("depth", "i2", ("lat",), 8, scale_factor=0.25),
    ),
    "NaN as the fill value": (
        add("w", "f4", ("time",), [1, np.nan], missing_value=np.float32(np.nan)),
        add("w", "f4", ("time",), [1, np.nan], missing_value=np.float32(np.nan)),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_reads_the_same_is_accepted(tmp_path: Path, case: str) -> None:
    files = make(tmp_path / "data", [FIRST, SECOND])
    for path, edit in zip(files, SAME[case], strict=True):
        change(path, edit)
    build(files, str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


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
