"""Coordinates that files do not hold: from their names, or from a table."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from stores import opened
from vzarr.changes.build import build
from vzarr.cli.main import main
from vzarr.combine.named_coordinates import parse_formats, read_table
from vzarr.commands.append import append
from vzarr.commands.inspect import inspect_files
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access

MONTHS = ("Jan", "Feb", "Mar", "Apr")


def spectrum(path: Path, number: int, steps: int | None = None) -> str:
    """``v`` (x) of the value ``number``, or (time, x) without a coordinate."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("x", 3)
        file.createVariable("x", "f4", ("x",))[:] = np.arange(3)
        dims: tuple[str, ...] = ("x",)
        if steps is not None:
            file.createDimension("time", steps)
            dims = ("time", "x")
        v = file.createVariable("v", "f4", dims, zlib=True, chunksizes=[1] * (len(dims) - 1) + [3])
        v[:] = number + np.arange(3) / 10
    return str(path)


def months(folder: Path) -> list[str]:
    return [spectrum(folder / f"tas_{month}2020.nc", n) for n, month in enumerate(MONTHS)]


def check(repo: Path, numbers: list[float], times: list[str]) -> None:
    stored = opened(repo)[""].load()
    np.testing.assert_array_equal(stored.time, np.array(times, "M8[ns]"))
    expected = np.array(numbers, "f4")[:, None] + (np.arange(3) / 10)
    np.testing.assert_array_equal(stored.v, expected.astype("f4"))
    report = verify_repository(str(repo), Access(), sample=None)
    assert report.passed, report.failures


@pytest.mark.parametrize("history", ["build", "batches", "append"])
def test_times_are_in_the_names(tmp_path: Path, history: str) -> None:
    files = months(tmp_path)
    repo = str(tmp_path / "store")
    first = files[:2] if history == "append" else files
    batch = 2 if history == "batches" else None
    built = build(first, repo, Access(), coord=("time=%b%Y",), batch=batch)
    assert built.concat_dim == "time"
    assert not any("order" in note for note in built.notes)
    if history == "append":
        assert append(files, repo, Access()).length == 2
        assert not append(files, repo, Access()).snapshot
    check(tmp_path / "store", [0, 1, 2, 3], [f"2020-0{month}-01" for month in (1, 2, 3, 4)])


def test_a_file_written_again_keeps_its_coordinate(tmp_path: Path) -> None:
    files = months(tmp_path)
    repo = str(tmp_path / "store")
    build(files, repo, Access(), coord=("time=%b%Y",))
    spectrum(Path(files[1]), 7)
    assert refresh(repo, Access()).snapshot
    times = [f"2020-0{month}-01" for month in (1, 2, 3, 4)]
    check(tmp_path / "store", [0, 7, 2, 3], times)
    spectrum(Path(files[3]), 8)
    append(files, repo, Access(), replace_known=True)
    check(tmp_path / "store", [0, 7, 2, 8], times)


def test_verify_notices_another_coordinate(tmp_path: Path) -> None:
    import icechunk
    import zarr

    files = months(tmp_path)
    repo = str(tmp_path / "store")
    build(files, repo, Access(), coord=("time=%b%Y",))
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(repo))
    session = repository.writable_session("main")
    times = zarr.open_array(session.store, path="time")
    times[0] = times[0] - 3600
    session.commit("other")
    report = verify_repository(repo, Access(), sample=None)
    assert "time[0] reads 2019-12-31T23" in str(report.failures[0])


def test_a_table_gives_several_coordinates_and_several_steps(tmp_path: Path) -> None:
    files = [spectrum(tmp_path / f"run{n}.nc", n, steps=n + 1) for n in range(3)]
    table = tmp_path / "times.csv"
    lines = [
        "file,time,orbit,site",
        "run0.nc,2020-01-01,7,Oslo",
        "run1.nc,2020-01-02,8,Oslo",
        "run1.nc,2020-01-03 06:00,9,Hammerfest",
    ]
    table.write_text("\n".join(lines))
    repo = str(tmp_path / "store")
    build(files[:2], repo, Access(), coord_table=str(table))
    times = ["2020-01-01", "2020-01-02", "2020-01-03T06"]
    check(tmp_path / "store", [0, 1, 1], times)
    with pytest.raises(InputError, match=r"from a table: name one .* --coord-table"):
        append(files, repo, Access())
    with pytest.raises(InputError, match=r"run2.nc: the table of coordinates has no row for it"):
        append(files, repo, Access(), coord_table=str(table))
    lines += [f"run2.nc,2020-02-0{day},{day},Longyearbyen" for day in (1, 2)]
    table.write_text("\n".join(lines))
    with pytest.raises(Refused, match="has 3 steps along time, but 2 values of time"):
        append(files, repo, Access(), coord_table=str(table))
    table.write_text("\n".join([*lines, "run2.nc,2020-02-03,3,Longyearbyen"]))
    append(files, repo, Access(), coord_table=str(table))
    times += ["2020-02-01", "2020-02-02", "2020-02-03"]
    check(tmp_path / "store", [0, 1, 1, 2, 2, 2], times)
    stored = opened(tmp_path / "store")[""]
    assert stored.orbit.values.tolist() == [7, 8, 9, 1, 2, 3]
    assert stored.site.values.tolist() == ["Oslo"] * 2 + ["Hammerfest"] + ["Longyearbyen"] * 3
    table.write_text("\n".join([*lines[:1], "run9.nc,2020-03-01,x,Oslo"]))
    late = spectrum(tmp_path / "run9.nc", 9, steps=1)
    with pytest.raises(InputError, match="orbit is 'x' in the table of coordinates, but others"):
        append([late], repo, Access(), coord_table=str(table))


def test_numbers_of_a_table_are_a_dimension(tmp_path: Path) -> None:
    files = [spectrum(tmp_path / f"{name}.nc", n) for n, name in enumerate("cab")]
    table = tmp_path / "levels.csv"
    table.write_text("file,level\na.nc,850\nb.nc,500.5\nc.nc,1000\n")
    build(files, str(tmp_path / "store"), Access(), coord_table=str(table))
    stored = opened(tmp_path / "store")[""].load()
    assert stored.level.values.tolist() == [500.5, 850, 1000]
    assert stored.v[:, 0].values.tolist() == [2, 1, 0]


def test_what_a_file_holds_is_not_written_over(tmp_path: Path) -> None:
    files = months(tmp_path)
    for file in files:
        with netCDF4.Dataset(file, "a") as dataset:
            time = dataset.createVariable("time", "i4", ())
            time.units = "days since 1900-01-01"
            time[...] = 0
    repo = str(tmp_path / "store")
    with pytest.raises((Refused, InputError), match="leave that out with --drop time"):
        build(files, repo, Access(), coord=("time=%b%Y",))
    build(files, repo, Access(), coord=("time=%b%Y",), drop=("time",))
    check(tmp_path / "store", [0, 1, 2, 3], [f"2020-0{month}-01" for month in (1, 2, 3, 4)])


@pytest.mark.parametrize(
    ("name", "form", "sentence"),
    [
        ("tas_2020.nc", "%Y%m", "has none"),
        ("tas_20200101-20200131.nc", "%Y%m%d", "has several of them: write more of the name"),
        ("tas_202013.nc", "%Y%m", "has none"),
    ],
)
def test_a_name_that_does_not_tell(tmp_path: Path, name: str, form: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        build(
            [spectrum(tmp_path / name, 0)], str(tmp_path / "s"), Access(), coord=(f"time={form}",)
        )


def test_more_of_the_name_tells(tmp_path: Path) -> None:
    files = [
        spectrum(tmp_path / f"2020/tas_2020{m}01-2020{m}28.nc", n)
        for n, m in enumerate(["02", "01"])
    ]
    for number, form in enumerate(["tas_%Y%m%d-", "-%Y%m%d"]):
        build(files, str(tmp_path / f"s{number}"), Access(), coord=(f"time={form}",))
        stored = opened(tmp_path / f"s{number}")[""]
        assert stored.v[:, 0].values.tolist() == [1, 0]
    one = build(files[:1], str(tmp_path / "folder"), Access(), coord=("time=%Y/tas",))
    assert one.sizes["time"] == 1


def test_inspect_prints_a_command_that_builds(tmp_path: Path) -> None:
    files = months(tmp_path)
    (file_set,) = inspect_files(files, Access(), coord=("time=%b%Y",)).sets
    assert (file_set.begin, file_set.end) == ("2020-01-01", "2020-04-01")
    assert "--concat-dim time --coord time=%b%Y" in file_set.build
    table = tmp_path / "times.csv"
    table.write_text(
        "file,time\n" + "".join(f"{f},2020-01-0{n + 1}\n" for n, f in enumerate(files))
    )
    (file_set,) = inspect_files(files, Access(), coord_table=str(table)).sets
    words = file_set.build.replace("NAME.icechunk", str(tmp_path / "store")).split()[2:]
    assert main(words[1:]) == 0
    check(tmp_path / "store", [0, 1, 2, 3], [f"2020-01-0{day}" for day in (1, 2, 3, 4)])
    (sentence,) = {*inspect_files(files[:1], Access(), coord=("time=%Y%m%d",)).unreadable.values()}
    assert "wants one time of this form" in sentence


@pytest.mark.parametrize("text", ["time", "time=", "=%Y", "time=%Y%Q", "time=2020"])
def test_bad_formats_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--coord"):
        parse_formats([text])


@pytest.mark.parametrize("text", ["", "a,b\n1,2", "file\nx.nc", "file,time\nx.nc", "file,t\nx,1,2"])
def test_bad_tables_are_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=r"table.csv: "):
        read_table(str(table))
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_table(str(tmp_path / "none.csv"))


def test_groups_get_it_too(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        path = tmp_path / f"g_2020010{number + 1}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("time", 1)
            for name in ("a", "b"):
                group = file.createGroup(name)
                group.createVariable("v", "f4", ("time",), chunksizes=(1,))[:] = number
        files.append(str(path))
    build(files, str(tmp_path / "store"), Access(), coord=("time=%Y%m%d",))
    groups = opened(tmp_path / "store")
    for name in ("a", "b"):
        assert groups[name].v.values.tolist() == [0, 1]
        expected = xr.DataArray(np.array(["2020-01-01", "2020-01-02"], "M8[ns]"), dims="time")
        np.testing.assert_array_equal(groups[name].time, expected)
    assert verify_repository(str(tmp_path / "store"), Access(), sample=None).passed
