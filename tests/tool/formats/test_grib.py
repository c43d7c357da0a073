"""GRIB as weather services publish it: each message virtual, and found again by its labels."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import eccodes
import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr
from stores import opened
from vzarr.changes.build import build
from vzarr.cli.main import main
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access
from vzarr.verification.store import compare_store
from worlds.grib import GRID, above, at, field, joined, layer, message, over, sections, write

TEMPERATURE, U, V, WATER, RAIN = (0, 0, 0), (0, 2, 2), (0, 2, 3), (0, 1, 3), (0, 1, 8)
LOCAL = (0, 3, 251)
HOURS = (1, 2, 3)
HOUR = np.timedelta64(1, "h")
SPACE = ("latitude", "longitude", "x", "y")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(18)


def fields(path: Path) -> Iterator[dict[str, Any]]:
    """What ecCodes reads of each field of each message, by its own loop over the file."""
    eccodes.codes_grib_multi_support_on()
    keys = ("discipline", "parameterCategory", "parameterNumber", "typeOfFirstFixedSurface")
    try:
        with path.open("rb") as file:
            while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
                found = {key: eccodes.codes_get(handle, key, ktype=int) for key in keys}
                for key in ("level", "percentileValue", "perturbationNumber", "upperLimit"):
                    if eccodes.codes_is_defined(handle, key):
                        found[key] = eccodes.codes_get(handle, key, ktype=float)
                for key in ("typeOfLevel", "stepType", "stepRange", "dataTime"):
                    found[key] = eccodes.codes_get(handle, key, ktype=str)
                found["end"] = eccodes.codes_get(handle, "endStep", ktype=int)
                eccodes.codes_set(handle, "missingValue", 1e100)
                values = eccodes.codes_get_values(handle)
                found["values"] = np.where(values == 1e100, np.nan, values)
                eccodes.codes_release(handle)
                yield found
    finally:
        eccodes.codes_grib_multi_support_off()


def fits(path: str, variable: xr.DataArray, wanted: dict[str, Any]) -> bool:
    """Whether a variable is of the parameter, the kind of level and of product of a message."""
    numbers = [wanted[key] for key in ("discipline", "parameterCategory", "parameterNumber")]
    attributes = variable.attrs
    words = {*path.replace("/", "_").split("_")}
    statistic = {"accum": "acc"}.get(wanted["stepType"], wanted["stepType"])
    product = {"pctl": "percentileValue", "prob": "upperLimit"}
    return (
        attributes.get("GRIB_parameter", [])[:3] == numbers
        and attributes["GRIB_surface"][0] == wanted["typeOfFirstFixedSurface"]
        and all((word in words) == (key in wanted) for word, key in product.items())
        and (statistic in words or bool(words & {*product}))
    )


def find(stored: dict[str, xr.Dataset], wanted: dict[str, Any]) -> np.ndarray:
    """The field that a user gets who selects by what ecCodes says of a message."""
    level = wanted["level"] * (100 if wanted["typeOfLevel"] == "isobaricInhPa" else 1)
    labels = {
        "time": np.datetime64("2026-01-15") + np.timedelta64(wanted["end"], "h"),
        "percentile": wanted.get("percentileValue"),
        "threshold": wanted.get("upperLimit"),
        "number": wanted.get("perturbationNumber"),
    }
    found = []
    for path, dataset in stored.items():
        for variable in dataset.data_vars.values():
            if not fits(path, variable, wanted):
                continue
            if variable.attrs.get("GRIB_level", level) != level:
                continue
            levels = [dim for dim in variable.dims if dim not in (*labels, *SPACE)]
            picked = {**labels, **dict.fromkeys(levels, level)}
            picked = {dim: picked[dim] for dim in variable.dims if dim in picked}
            found.append(variable.sel(picked).values.ravel())
    assert len(found) == 1, wanted
    return found[0]


def virtual_build(tmp_path: Path, *files: Path, **options: Any) -> dict[str, xr.Dataset]:
    """Build, check that every field is virtual and verified, and open the store."""
    repository = tmp_path / "repo"
    built = build([str(file) for file in files], str(repository), Access(), **options)
    assert built.native == {}
    stored = opened(repository)
    data = {f"{path}/{name}" for path, found in stored.items() for name in found.data_vars}
    assert data <= {*built.virtual}
    return stored


def assert_each_is_found(stored: dict[str, xr.Dataset], *files: Path) -> None:
    count = 0
    for file in files:
        for wanted in fields(file):
            np.testing.assert_allclose(find(stored, wanted), wanted["values"], rtol=1e-6)
            count += 1
    assert count


def codecs(repository: Path) -> set[str]:
    storage = icechunk.local_filesystem_storage(str(repository))
    store = icechunk.Repository.open(storage).readonly_session("main").store
    root = zarr.open_group(store, mode="r")
    arrays = [item for _, item in root.members(max_depth=None) if isinstance(item, zarr.Array)]
    return {codec.to_dict()["name"] for array in arrays for codec in array.metadata.codecs}


def test_one_parameter_of_two_names(tmp_path: Path, random: np.random.Generator) -> None:
    """ecCodes calls wind at 10 m 10u and at 80 m u, temperature at 2 m 2t and at 80 m t."""
    files = []
    for hour in HOURS:
        wanted = [(U, 10), (U, 80), (V, 10), (V, 80), (TEMPERATURE, 2), (TEMPERATURE, 80)]
        keys = {"forecastTime": hour}
        parts = [field(random, name, **at(103, height), **keys) for name, height in wanted]
        files.append(write(tmp_path / f"wind.f{hour:03d}.grib2", *parts))
    stored = virtual_build(tmp_path, *files)
    near = stored["hag/instant"]
    assert near.tmp.dims == ("time", "hag", "latitude", "longitude")
    assert near.hag.values.tolist() == [2, 80]
    assert near.ugrd.dims[1] == near.vgrd.dims[1] == "hag_2"
    assert near.hag_2.values.tolist() == [10, 80]
    assert near.step.values.tolist() == [1, 2, 3]
    assert_each_is_found(stored, *files)
    assert "virtual_zarr.grib" not in codecs(tmp_path / "repo")


def test_levels_in_pascals_and_in_hectopascals(tmp_path: Path, random: np.random.Generator) -> None:
    pascals = [40, 70, 100, 1000, 50000, 100000]
    parts = [field(random, TEMPERATURE, **at(100, level), forecastTime=1) for level in pascals]
    file = write(tmp_path / "levels.grib2", *parts)
    stored = virtual_build(tmp_path, file)
    assert stored["isobar/instant"].isobar.values.tolist() == pascals
    assert stored["isobar/instant"].isobar.attrs["units"] == "Pa"
    assert_each_is_found(stored, file)


def test_percentiles_and_probabilities(tmp_path: Path, random: np.random.Generator) -> None:
    files = []
    for hour in HOURS:
        keys = at(200) | {"forecastTime": hour}
        parts = [field(random, WATER, **keys)]
        for percentile in (10, 50, 90):
            more = {"productDefinitionTemplateNumber": 6, "percentileValue": percentile}
            parts.append(field(random, WATER, **more, **keys))
        for limit in (10, 25):
            parts.append(field(random, WATER, **above(limit), **keys))
        files.append(write(tmp_path / f"blend.f{hour:03d}.grib2", *parts))
    stored = virtual_build(tmp_path, *files)
    assert stored["entire_atm/pctl"].percentile.values.tolist() == [10, 50, 90]
    assert stored["entire_atm/prob_above"].threshold.values.tolist() == [10, 25]
    assert stored["entire_atm/prob_above"].pwat.attrs["units"] == "%"
    assert_each_is_found(stored, *files)


def test_verify_compares_labels(tmp_path: Path, random: np.random.Generator) -> None:
    """A percentile whose label was changed: all values are right, and one is of another."""
    keys = at(200) | {"forecastTime": 1, "productDefinitionTemplateNumber": 6}
    parts = [field(random, WATER, percentileValue=value, **keys) for value in (10, 50)]
    file = write(tmp_path / "blend.grib2", *parts)
    virtual_build(tmp_path, file)
    path, values = "entire_atm/pctl/percentile", np.array([10.0, 60.0])
    report = changed(tmp_path, lambda root: root[path].set_basic_selection(..., values))
    assert any("has percentile 50, the store says 60" in str(line) for line in report.failures)


def changed(tmp_path: Path, change: Any) -> Any:
    """What verification says after a change that nobody commits."""
    from vzarr.repository.open import open_repository

    repository, _, held = open_repository(str(tmp_path / "repo"), Access())
    session = repository.writable_session("main")
    change(zarr.open_group(session.store, mode="a"))
    return compare_store(session.store, held.metadata, Access())


@pytest.mark.parametrize(
    ("name", "key"), [("GRIB_parameter", "GRIB_parameter"), ("GRIB_level", "level")]
)
def test_verify_compares_labels_in_attributes(
    name: str, key: str, tmp_path: Path, random: np.random.Generator
) -> None:
    file = write(tmp_path / "t.grib2", field(random, TEMPERATURE, **at(103, 2), forecastTime=1))
    virtual_build(tmp_path, file)
    wrong = {"GRIB_parameter": [0, 0, 1], "GRIB_level": 10.0}[name]
    report = changed(
        tmp_path, lambda root: root["hag/instant/tmp"].update_attributes({name: wrong})
    )
    assert any(f"has {key}" in str(line) for line in report.failures)


def test_odd_fields_grow_like_the_others(tmp_path: Path, random: np.random.Generator) -> None:
    """A parameter without a name, and U and V in one message, in each file of a series."""
    files = []
    for hour in HOURS:
        keys = at(103, 10) | {"forecastTime": hour}
        winds = joined(field(random, U, **keys), field(random, V, **keys))
        parts = [field(random, TEMPERATURE, **keys), winds, field(random, LOCAL, **keys)]
        files.append(write(tmp_path / f"a.f{hour:03d}.grib2", *parts))
    stored = virtual_build(tmp_path, *files)
    assert set(stored["hag/instant"].data_vars) == {"tmp", "ugrd", "vgrd", "parameter_0_3_251"}
    assert stored["hag/instant"].sizes["time"] == 3
    assert_each_is_found(stored, *files)
    assert "virtual_zarr.grib" in codecs(tmp_path / "repo")


def test_a_bitmap_that_the_second_field_repeats(
    tmp_path: Path, random: np.random.Generator
) -> None:
    values = random.normal(size=(6, 8))
    values[::2] = 9999
    keys = at(103, 10) | {"forecastTime": 1, "bitmapPresent": 1, "missingValue": 9999}
    numbers = {"discipline": 0, "parameterCategory": 2}
    first, second = (
        message(values + n * (values != 9999), **numbers, parameterNumber=2 + n, **keys)
        for n in (0, 1)
    )
    both = joined(first, second)
    last = both.rfind(b"\x06\x00", 0, len(both) - 4)
    bitmap = next(part for part in sections(second) if part[4] == 6)
    assert both[last - 4 :].startswith(bitmap)
    repeated = both[: last - 4] + b"\x00\x00\x00\x06\x06\xfe" + both[last - 4 + len(bitmap) :]
    repeated = repeated[:8] + len(repeated).to_bytes(8, "big") + repeated[16:]
    file = write(tmp_path / "bitmap.grib2", repeated)
    stored = virtual_build(tmp_path, file)
    assert np.isnan(stored["hag/instant"].vgrd.values).sum() == 24
    assert_each_is_found(stored, file)


@pytest.mark.parametrize("packing", ["grid_ieee", "grid_ccsds", "grid_complex", "grid_jpeg"])
def test_packings(packing: str, tmp_path: Path, random: np.random.Generator) -> None:
    part = field(random, TEMPERATURE, **at(103, 2), forecastTime=1, packingType=packing)
    file = write(tmp_path / "t.grib2", part)
    assert_each_is_found(virtual_build(tmp_path, file), file)
    own = "virtual_zarr.grib" in codecs(tmp_path / "repo")
    assert own == (packing == "grid_ieee")


@pytest.mark.parametrize(
    ("sample", "dims"),
    [
        ("reduced_gg_pl_32_grib2", ("point",)),
        ("regular_gg_pl_grib2", ("latitude", "longitude")),
        ("rotated_ll_pl_grib2", ("y", "x")),
        ("polar_stereographic_pl_grib2", ("y", "x")),
        ("sh_pl_grib2", ("coefficient",)),
        ("reduced_gg_pl_32_grib1", ("point",)),
        ("regular_ll_pl_grib1", ("latitude", "longitude")),
        ("rotated_ll_pl_grib1", ("y", "x")),
        ("sh_pl_grib1", ("coefficient",)),
    ],
)
def test_grids(
    sample: str, dims: tuple[str, ...], tmp_path: Path, random: np.random.Generator
) -> None:
    handle = eccodes.codes_grib_new_from_samples(sample)
    count = eccodes.codes_get_size(handle, "values")
    eccodes.codes_release(handle)
    parts = [
        message(random.normal(270, 10, count), sample, {}, level=level, shortName="t")
        for level in (500, 850)
    ]
    file = write(tmp_path / "grid.grib", *parts)
    (dataset,) = virtual_build(tmp_path, file).values()
    variable = next(iter(dataset.data_vars.values()))
    assert variable.dims == ("time", "isobar", *dims)
    assert dataset.isobar.values.tolist() == [50000, 85000]
    for part, level in zip(parts, (50000, 85000), strict=True):
        handle = eccodes.codes_new_from_message(part)
        values = eccodes.codes_get_values(handle)
        found = variable.sel(isobar=level).values.ravel()
        np.testing.assert_allclose(found, values, rtol=1e-6, atol=1e-9)
        if dims != ("coefficient",):
            for name in ("latitude", "longitude"):
                known = eccodes.codes_get_array(handle, f"{name}s")
                told = dataset[name].broadcast_like(variable.isel(time=0, isobar=0)).values.ravel()
                turns = (told - known) / 360
                np.testing.assert_allclose(turns - turns.round(), 0, atol=1e-8)
        eccodes.codes_release(handle)


def test_a_grid_without_coordinates(tmp_path: Path, random: np.random.Generator) -> None:
    """ICON's own grid: its points are numbered, and lie in another file."""
    keys = {"gridType": "unstructured_grid", "numberOfDataPoints": 50}
    values = random.normal(280, 10, 50)
    parts = [message(values, grid=keys, **at(103, 2), shortName="2t", forecastTime=1)]
    file = write(tmp_path / "icon.grib2", *parts)
    near = virtual_build(tmp_path, file)["hag/instant"]
    assert near.tmp.dims == ("time", "point")
    assert "latitude" not in near.variables
    np.testing.assert_allclose(near.tmp.values.ravel(), values, atol=1e-3)


def test_members_layers_and_grids_in_one_file(tmp_path: Path, random: np.random.Generator) -> None:
    small = {**GRID, "Ni": 4, "longitudeOfLastGridPointInDegrees": 3.0}
    parts = []
    for number in (0, 1):
        keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
        keys |= {"numberOfForecastsInEnsemble": 2, "forecastTime": 6}
        for top, bottom in ((0, 10), (10, 40)):
            parts.append(field(random, (2, 0, 192), **keys, **layer(106, top, bottom, 2)))
        parts.append(field(random, TEMPERATURE, shape=(6, 4), grid=small, **keys, **at(103, 2)))
        parts.append(field(random, TEMPERATURE, **keys, **at(103, 2)))
    file = write(tmp_path / "members.grib2", *parts)
    stored = virtual_build(tmp_path, file)
    assert set(stored) == {"depth_bls_layer/instant", "hag/instant", "hag/instant_grid_2"}
    soil = stored["depth_bls_layer/instant"]
    assert soil.depth_bls_layer_bounds.values.tolist() == [[0, 0.1], [0.1, 0.4]]
    assert dict(soil.sizes)["number"] == 2
    assert stored["hag/instant_grid_2"].sizes["longitude"] == 8


def test_what_no_label_tells_gets_names_of_its_own(
    tmp_path: Path, random: np.random.Generator
) -> None:
    """Two optical depths of one time and level, of two wavelengths; a field that is there twice."""
    parts = []
    for wavelength in (550, 865):
        keys = {"productDefinitionTemplateNumber": 48, "typeOfWavelengthInterval": 11}
        keys |= {"scaleFactorOfFirstWavelength": 9, "scaledValueOfFirstWavelength": wavelength}
        parts.append(field(random, (0, 20, 102), **keys, **at(10), forecastTime=1))
    twice = field(random, RAIN, **at(1), forecastTime=1)
    file = write(tmp_path / "aod.grib2", *parts, twice, twice)
    stored = virtual_build(tmp_path, file)
    found = list(stored["atm/instant"].data_vars.values())
    assert sorted(v.attrs["GRIB_scaledValueOfFirstWavelength"] for v in found) == ["550", "865"]
    assert {name: v.attrs.get("GRIB_repeat") for name, v in stored["sfc/instant"].items()} == {
        "apcp": None,
        "apcp_2": 1,
    }


def test_totals_are_members_of_one_series(tmp_path: Path, random: np.random.Generator) -> None:
    """Rain since the start and rain of the last hours, as GFS has them, and their bounds."""
    files = []
    for start, end in ((0, 6), (6, 9), (6, 12)):
        parts = [field(random, RAIN, **at(1), **over(start, end))]
        parts.append(field(random, RAIN, **at(1), **over(0, end)))
        files.append(write(tmp_path / f"rain.f{end:03d}.grib2", *parts))
    rain = virtual_build(tmp_path, *files)["sfc/acc"]
    assert rain.step.values.tolist() == [6, 9, 12]
    assert hours(rain.apcp_bounds) == [[0, 6], [6, 9], [6, 12]]
    assert hours(rain.apcp_2_bounds) == [[0, 6], [0, 9], [0, 12]]
    assert rain.apcp.attrs["cell_methods"] == "time: sum"
    for at_time, file in enumerate(files):
        first, second = fields(file)
        np.testing.assert_allclose(rain.apcp[at_time].values.ravel(), first["values"], rtol=1e-6)
        np.testing.assert_allclose(rain.apcp_2[at_time].values.ravel(), second["values"], rtol=1e-6)


def hours(bounds: xr.DataArray) -> list[list[float]]:
    return ((bounds.values - np.datetime64("2026-01-15")) / np.timedelta64(1, "h")).tolist()


def ensemble(folder: Path, random: np.random.Generator) -> list[Path]:
    """Two runs of two members and three steps, in one file each."""
    files = []
    for run in (0, 6):
        parts = []
        for step in (0, 6, 12):
            for number in (0, 1):
                keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
                keys |= {"numberOfForecastsInEnsemble": 2, "dataTime": run * 100}
                keys["forecastTime"] = step
                parts += [field(random, TEMPERATURE, **keys, **at(100, p)) for p in (50000, 85000)]
        files.append(write(folder / f"ens.t{run:02d}.grib2", *parts))
    return files


def test_forecast_cube(tmp_path: Path, random: np.random.Generator) -> None:
    """Runs, steps, members and levels in one command, compared with cfgrib."""
    files = ensemble(tmp_path, random)
    stored = virtual_build(tmp_path, *files, concat_dim="reference_time")
    cube = stored["isobar/instant"]
    assert cube.tmp.dims[:4] == ("reference_time", "step", "number", "isobar")
    assert dict(cube.sizes)["reference_time"] == 2
    assert cube.valid_time.dims == ("reference_time", "step")
    for run, file in enumerate(files):
        with xr.open_dataset(file, engine="cfgrib", indexpath="", decode_timedelta=True) as source:
            truth = source.t.sortby("isobaricInhPa").transpose("step", "number", ...)
            np.testing.assert_allclose(cube.tmp[run].values, truth.values, rtol=1e-6)
            assert cube.reference_time.values[run] == source.time.values
            np.testing.assert_array_equal(cube.valid_time[run].values, source.valid_time.values)


def test_one_file_for_each_step(tmp_path: Path, random: np.random.Generator) -> None:
    files = []
    for step in HOURS:
        parts = [field(random, TEMPERATURE, **at(103, 2), forecastTime=step)]
        files.append(write(tmp_path / f"f{step:03d}.grib2", *parts))
    stored = virtual_build(tmp_path, *files, concat_dim="step")
    near = stored["hag/instant"]
    assert near.tmp.dims[:2] == ("reference_time", "step")
    assert near.step.values.tolist() == [1, 2, 3]
    assert dict(near.sizes)["reference_time"] == 1


def test_one_file_of_overlapping_runs_is_a_cube(
    tmp_path: Path, random: np.random.Generator
) -> None:
    whole = tmp_path / "all.grib2"
    whole.write_bytes(b"".join(file.read_bytes() for file in ensemble(tmp_path, random)))
    cube = virtual_build(tmp_path, whole)["isobar/instant"]
    assert cube.tmp.dims[:3] == ("reference_time", "step", "number")


def test_inspect_finds_files_along_two_dimensions(
    tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(file) for file in members(tmp_path, random, (0, 6))]
    (found,) = inspect_files(files, Access()).sets
    _, _, _, *arguments = shlex.split(found.build)
    assert arguments.count("--concat-dim") == 2
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0


def test_overlapping_runs_say_what_to_do(
    tmp_path: Path, random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the command that inspect prints does it."""
    files = [str(file) for file in ensemble(tmp_path, random)]
    with pytest.raises(Refused, match=r"\(--concat-dim reference_time\)"):
        build(files, str(tmp_path / "repo"), Access())
    (found,) = inspect_files(files, Access()).sets
    _, _, _, *arguments = shlex.split(found.build)
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0


def test_what_is_dropped_is_named(tmp_path: Path, random: np.random.Generator) -> None:
    parts = [field(random, name, **at(103, 10), forecastTime=1) for name in (TEMPERATURE, U)]
    parts.append(field(random, TEMPERATURE, **at(100, 50000), forecastTime=1))
    file = write(tmp_path / "a.grib2", *parts)
    built = build([str(file)], str(tmp_path / "repo"), Access(), drop=("ugrd",))
    assert built.dropped == {"hag/instant/ugrd": "named by --drop"}
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed


def icon(folder: Path, random: np.random.Generator, steps: tuple[int, ...]) -> list[Path]:
    """A file for each parameter and step."""
    places = {
        "t_2m": (TEMPERATURE, at(103, 2)),
        "u_10m": (U, at(103, 10)),
        "t_850": (TEMPERATURE, at(100, 85000)),
        "pmsl": ((0, 3, 1), at(101)),
    }
    return [
        write(
            folder / f"icon_{step:03d}_{name}.grib2",
            field(random, parameter, **level, forecastTime=step),
        )
        for step in steps
        for name, (parameter, level) in places.items()
    ]


def test_files_of_one_parameter_each(tmp_path: Path, random: np.random.Generator) -> None:
    """Those of a step lie side by side, in one group or in several; so do those that follow."""
    files = icon(tmp_path, random, (0, 1, 2))
    stored = virtual_build(tmp_path, *files)
    assert set(stored) == {"hag/instant", "isobar/instant", "msl/instant"}
    assert {found.sizes["time"] for found in stored.values()} == {3}
    assert_each_is_found(stored, *files)
    repository = str(tmp_path / "repo")
    assert verify_repository(repository, Access(), sample=None).failures == []
    more = icon(tmp_path, random, (3, 4))
    append([str(file) for file in more], repository, Access())
    assert_each_is_found(opened(tmp_path / "repo"), *files, *more)
    assert verify_repository(repository, Access(), sample=None).failures == []
    assert append([str(file) for file in more], repository, Access()).appended == []


def test_a_step_without_one_parameter_is_refused(
    tmp_path: Path, random: np.random.Generator
) -> None:
    files = icon(tmp_path, random, (0, 1))[:-1]
    with pytest.raises(Refused, match="no file has msl/instant/prmsl for them"):
        build([str(file) for file in files], str(tmp_path / "repo"), Access())


def members(folder: Path, random: np.random.Generator, runs: tuple[int, ...]) -> list[Path]:
    """A file for each run and step, of two members."""
    files = []
    for run in runs:
        for step in (0, 6, 12):
            parts = []
            for number in (0, 1):
                keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
                keys |= {"numberOfForecastsInEnsemble": 2, "dataTime": run * 100}
                keys["forecastTime"] = step
                parts += [field(random, TEMPERATURE, **keys, **at(100, p)) for p in (50000, 85000)]
                parts.append(field(random, TEMPERATURE, **keys, **at(103, 2)))
            files.append(write(folder / f"gefs.t{run:02d}.f{step:03d}.grib2", *parts))
    return files


def cube_is_right(cube: xr.Dataset, files: list[Path]) -> None:
    """Each file's values, by cfgrib, at the run and the step that cfgrib says."""
    for file in files:
        keys = {"filter_by_keys": {"typeOfLevel": "isobaricInhPa"}, "indexpath": ""}
        with xr.open_dataset(file, engine="cfgrib", decode_timedelta=True, **keys) as source:
            hours = float(source.step.values / np.timedelta64(1, "h"))
            found = cube.tmp.sel(reference_time=source.time.values, step=hours)
            truth = source.t.sortby("isobaricInhPa").transpose("number", ...)
            np.testing.assert_allclose(found.values, truth.values, rtol=1e-6)
            place = cube.valid_time.sel(reference_time=source.time.values, step=hours)
            assert place.values == source.valid_time.values


@pytest.mark.parametrize("dims", [("reference_time", "step"), ("step", "reference_time")])
def test_files_along_two_dimensions(
    dims: tuple[str, str], tmp_path: Path, random: np.random.Generator
) -> None:
    """Runs, steps, members and levels in one command, a file for each run and step; appended."""
    files = members(tmp_path, random, (0, 6))
    command = ["build", *map(str, files), "--repo", str(tmp_path / "repo"), "--quiet"]
    for dim in dims:
        command += ["--concat-dim", dim]
    assert main(command) == 0
    repository = str(tmp_path / "repo")
    assert verify_repository(repository, Access(), sample=None).failures == []
    cube = opened(tmp_path / "repo")["isobar/instant"]
    assert cube.tmp.dims[:4] == ("reference_time", "step", "number", "isobar")
    cube_is_right(cube, files)
    if dims[0] == "reference_time":
        more = members(tmp_path, random, (12,))
        append([str(file) for file in more], repository, Access())
        cube_is_right(opened(tmp_path / "repo")["isobar/instant"], [*files, *more])
        assert verify_repository(repository, Access(), sample=None).failures == []
        last = members(tmp_path, random, (18,))[0]
        assert append([str(last)], repository, Access()).appended == [f"file://{last}"]
        cube_is_right(opened(tmp_path / "repo")["isobar/instant"], [*files, *more, last])


@pytest.mark.parametrize("absent", [(5,), (1,), (4, 5), (0, 5)])
def test_places_without_a_file_are_missing(
    absent: tuple[int, ...], tmp_path: Path, random: np.random.Generator
) -> None:
    """A run that is not complete, a file that is missing in the middle, and one of each."""
    every = members(tmp_path, random, (0, 6))
    files = [file for number, file in enumerate(every) if number not in absent]
    names = [str(file) for file in files]
    repository = str(tmp_path / "repo")
    built = build(names, repository, Access(), concat_dim="reference_time", inner="step")
    assert any(f"{len(absent)} of 6 places have no file: missing at" in n for n in built.notes)
    cube = opened(tmp_path / "repo")["isobar/instant"]
    cube_is_right(cube, files)
    there = np.isfinite(cube.tmp.values).all(axis=(2, 3, 4, 5)).ravel()
    assert np.flatnonzero(~there).tolist() == [*absent]
    valid = cube.reference_time.values[:, None] + cube.step.values * np.timedelta64(1, "h")
    np.testing.assert_array_equal(cube.valid_time.values, valid)
    assert verify_repository(repository, Access(), sample=None).failures == []


def test_verify_finds_a_step_in_another_place(tmp_path: Path, random: np.random.Generator) -> None:
    files = members(tmp_path, random, (0, 6))
    options = {"concat_dim": "reference_time", "inner": "step"}
    virtual_build(tmp_path, *files, **options)
    values = np.array([6.0, 0.0, 12.0])
    path = "isobar/instant/step"
    report = changed(tmp_path, lambda root: root[path].set_basic_selection(..., values))
    assert report.failures


def run_files(folder: Path, random: np.random.Generator, runs: tuple[int, ...]) -> list[str]:
    return [str(file) for file in members(folder, random, runs)]


@pytest.mark.parametrize("later", [[3, 5, 4], [4, 5, 3], [5, 3, 4]])
@pytest.mark.parametrize("each", [1, 2])
def test_places_are_filled_as_files_come(
    later: list[int], each: int, tmp_path: Path, random: np.random.Generator
) -> None:
    """In any order that keeps the runs in theirs, whatever was there first."""
    files = run_files(tmp_path, random, (0, 6))
    repository = str(tmp_path / "repo")
    runs_and_steps = {"concat_dim": "reference_time", "inner": "step"}
    first = files[:3]
    build(first, repository, Access(), **runs_and_steps)
    come = [files[number] for number in later]
    for begin in range(0, len(come), each):
        done = append(come[begin : begin + each], repository, Access())
        assert sorted(done.appended) == sorted(f"file://{f}" for f in come[begin : begin + each])
        cube = opened(tmp_path / "repo")["isobar/instant"]
        there = [*map(Path, first), *map(Path, come[: begin + each])]
        cube_is_right(cube, there)
        assert np.isfinite(cube.tmp.values).all(axis=(2, 3, 4, 5)).sum() == len(there)
        assert verify_repository(repository, Access(), sample=None).failures == []
    assert append(files, repository, Access()).appended == []


def test_a_hole_in_the_middle_is_filled(tmp_path: Path, random: np.random.Generator) -> None:
    files = run_files(tmp_path, random, (0, 6, 12))
    repository = str(tmp_path / "repo")
    present = [file for number, file in enumerate(files) if number not in (1, 4, 8)]
    build(present, repository, Access(), concat_dim="reference_time", inner="step")
    done = append(files, repository, Access())
    assert done.appended == [f"file://{files[number]}" for number in (1, 4, 8)]
    cube_is_right(opened(tmp_path / "repo")["isobar/instant"], [*map(Path, files)])
    assert verify_repository(repository, Access(), sample=None).failures == []
    build(files, str(tmp_path / "whole"), Access(), concat_dim="reference_time", inner="step")
    for group, expected in opened(tmp_path / "whole").items():
        xr.testing.assert_identical(opened(tmp_path / "repo")[group].load(), expected.load())


@pytest.mark.parametrize("present", [(0, 1, 3), (0, 2, 3), (1, 2, 5)])
def test_a_step_that_no_run_had_before(
    present: tuple[int, ...], tmp_path: Path, random: np.random.Generator
) -> None:
    """The store is what a build of all files makes, wherever the step belongs."""
    files = run_files(tmp_path, random, (0, 6))
    repository = str(tmp_path / "repo")
    first = [files[number] for number in present]
    build(first, repository, Access(), concat_dim="reference_time", inner="step")
    done = append(files, repository, Access())
    assert len(done.appended) == 3
    assert verify_repository(repository, Access(), sample=None).failures == []
    build(files, str(tmp_path / "whole"), Access(), concat_dim="reference_time", inner="step")
    for group, expected in opened(tmp_path / "whole").items():
        xr.testing.assert_identical(opened(tmp_path / "repo")[group].load(), expected.load())


@pytest.mark.parametrize("command", ["refresh", "append"])
def test_files_of_a_cube_that_were_issued_again(
    command: str, tmp_path: Path, random: np.random.Generator
) -> None:
    files = run_files(tmp_path, random, (0, 6))
    repository = str(tmp_path / "repo")
    build(files, repository, Access(), concat_dim="reference_time", inner="step")
    (tmp_path / "again").mkdir()
    others = run_files(tmp_path / "again", random, (0, 6))
    for number in (1, 5):
        Path(files[number]).write_bytes(Path(others[number]).read_bytes())
        os.utime(files[number], (1e9, 1e9))
    report = verify_repository(repository, Access(), sample=None)
    assert len({failure.url for failure in report.failures if failure.url}) == 2
    if command == "refresh":
        assert len(refresh(repository, Access()).changed) == 2
    else:
        assert len(append(files, repository, Access(), replace_known=True).renewed) == 0
    cube_is_right(opened(tmp_path / "repo")["isobar/instant"], [*map(Path, files)])
    assert verify_repository(repository, Access(), sample=None).failures == []


def test_a_file_of_a_cube_under_a_new_name(tmp_path: Path, random: np.random.Generator) -> None:
    """A correction beside the old file takes its place with --replace, and no other one."""
    files = run_files(tmp_path, random, (0, 6))
    repository = str(tmp_path / "repo")
    build(files, repository, Access(), concat_dim="reference_time", inner="step")
    (tmp_path / "new").mkdir()
    other = Path(run_files(tmp_path / "new", random, (0, 6))[4])
    other = other.rename(tmp_path / "corrected.grib2")
    with pytest.raises(Refused, match=r"has the same reference_time as .*t06\.f006\.grib2"):
        append([str(other)], repository, Access())
    append([str(other)], repository, Access(), replace_known=True)
    cube_is_right(opened(tmp_path / "repo")["isobar/instant"], [*map(Path, files[:4]), other])
    assert verify_repository(repository, Access(), sample=None).failures == []


def test_step_0_without_totals_in_a_cube(tmp_path: Path, random: np.random.Generator) -> None:
    """Both axes are those of all groups; what step 0 lacks is missing there."""
    files = []
    for run in (0, 6):
        for step in (0, 6, 12):
            keys = {"dataTime": run * 100, "forecastTime": step}
            parts = [field(random, TEMPERATURE, **at(103, 2), **keys)]
            if step:
                taken = over(0, step) | {"hourOfEndOfOverallTimeInterval": run + step}
                parts.append(field(random, RAIN, **at(1), **(keys | taken)))
            files.append(str(write(tmp_path / f"t{run:02d}.f{step:03d}.grib2", *parts)))
    repository = str(tmp_path / "repo")
    build(files[:4], repository, Access(), concat_dim="reference_time", inner="step")
    append(files[4:5], repository, Access())
    append(files[5:], repository, Access())
    rain = opened(tmp_path / "repo")["sfc/acc"]
    assert rain.apcp.dims[:2] == ("reference_time", "step")
    there = np.isfinite(rain.apcp.values).all(axis=(2, 3))
    assert there.tolist() == [[False, True, True]] * 2
    assert np.isnat(rain.apcp_bounds.values).any(axis=2).tolist() == (~there).tolist()
    for file in files:
        for wanted in fields(Path(file)):
            if wanted["parameterNumber"] == 8:
                run = np.datetime64("2026-01-15") + int(wanted["dataTime"]) // 100 * HOUR
                found = rain.apcp.sel(reference_time=run, step=wanted["end"])
                np.testing.assert_allclose(found.values.ravel(), wanted["values"], rtol=1e-6)
    assert verify_repository(repository, Access(), sample=None).failures == []


def test_three_dimensions_say_what_works(
    tmp_path: Path, random: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file for each run, step and member: the advice is taken, a store for each member."""
    files: dict[int, list[str]] = {1: [], 2: []}
    for number in files:
        for run in (0, 6):
            for step in (0, 6):
                keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
                keys |= {"numberOfForecastsInEnsemble": 2, "dataTime": run * 100}
                part = field(random, TEMPERATURE, **keys, **at(103, 2), forecastTime=step)
                name = f"gep{number:02d}.t{run:02d}.f{step:03d}.grib2"
                files[number].append(str(write(tmp_path / name, part)))
    every = sorted(name for names in files.values() for name in names)
    dims = [word for dim in ("reference_time", "step") for word in ("--concat-dim", dim)]
    command = ["build", *every, *dims, "--repo", str(tmp_path / "repo"), "--quiet"]
    assert main(command) == 2
    told = capsys.readouterr().err
    assert "a store for each number" in told
    three = [*command, "--concat-dim", "number"]
    assert main(three) == 2
    assert "a store for each value of the third" in capsys.readouterr().err
    for number, names in files.items():
        repository = str(tmp_path / f"member{number}")
        assert main(["build", *names, *dims, "--repo", repository, "--quiet"]) == 0
        near = opened(tmp_path / f"member{number}")["hag/instant"]
        assert near.number.values.tolist() == [number]
        assert dict(near.sizes)["reference_time"] == dict(near.sizes)["step"] == 2


def test_control_and_members_in_files_of_their_own(
    tmp_path: Path, random: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ECMWF has them: the sentence says what joins them, and that is right."""
    files = []
    for name, numbers in (("cf", (0,)), ("pf", (1, 2))):
        for step in (0, 3):
            parts = []
            for number in numbers:
                keys = {"productDefinitionTemplateNumber": 1, "perturbationNumber": number}
                keys |= {"numberOfForecastsInEnsemble": 3, "forecastTime": step}
                parts.append(field(random, TEMPERATURE, **keys, **at(103, 2)))
            files.append(write(tmp_path / f"{step}h-enfo-{name}.grib2", *parts))
    command = ["build", *map(str, files), "--repo", str(tmp_path / "repo"), "--quiet"]
    assert main(command) == 2
    told = capsys.readouterr().err
    advice = "name both: --concat-dim time --concat-dim number"
    assert advice in told
    assert main([*command, *advice.split(": ")[1].split()]) == 0
    near = opened(tmp_path / "repo")["hag/instant"]
    assert near.number.values.tolist() == [0, 1, 2]
    assert near.step.values.tolist() == [0, 3]
    assert_each_is_found({"hag/instant": near}, *files)
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).failures == []
