"""``append``: what is new once, in order, or a sentence; the store always reads as its sources."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import h5py
import icechunk
import netCDF4
import numpy as np
import obstore
import pytest
import xarray as xr
import zarr
from harness import warm_start
from making import Recipe
from obstore.store import S3Store
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.verify import verify_repository
from vzarr.errors import InputError, Refused
from vzarr.repository.open import open_repository
from vzarr.sources.schemes import Access
from worlds.s3 import STORES_BUCKET


def days(folder: Path, *starts: int, **changes: object) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return [
        str(Recipe(start=start, epoch="2000-01-03", **changes).write(folder / f"d{start:03}.nc"))
        for start in starts
    ]


def stored(repository: Path, folder: Path) -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    return xr.open_zarr(repo.readonly_session("main").store, consolidated=False)


def commits(repository: Path) -> list[icechunk.SnapshotInfo]:
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    return list(repo.ancestry(branch="main"))


def ledger(repository: Path) -> dict:
    return open_repository(str(repository), Access())[2].metadata


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def repository(tmp_path: Path, data: Path) -> Path:
    """Two files of two days each."""
    build(days(data, 0, 2), str(tmp_path / "repo"), Access())
    return tmp_path / "repo"


def test_places_that_readers_authorize_are_named(
    repository: Path, data: Path, tmp_path: Path
) -> None:
    """Files from elsewhere bring a container, without which old readers fail at these files."""
    assert append(days(data, 4), str(repository), Access()).containers == []
    done = append(days(tmp_path / "elsewhere", 6), str(repository), Access())
    assert done.containers == [f"file://{tmp_path}/elsewhere/"]
    built = build(days(data, 0), str(tmp_path / "another"), Access())
    assert built.containers == [f"file://{data}/"]


def test_new_files_are_appended_in_order_and_once(repository: Path, data: Path) -> None:
    days(data, 6, 4)
    before = len(commits(repository))
    done = append([f"{data}/*.nc"], str(repository), Access())
    assert [url.rpartition("/")[2] for url in done.appended] == ["d004.nc", "d006.nc"]
    assert len(done.known) == 2
    assert len(commits(repository)) == before + 1
    dataset = stored(repository, data)
    np.testing.assert_array_equal(dataset.v, Recipe(steps=8).values)
    assert dataset.indexes["time"].is_monotonic_increasing
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed
    assert report.sources == 4


def test_nothing_new_commits_nothing(repository: Path, data: Path) -> None:
    before = commits(repository)[0].id
    done = append([f"{data}/*.nc"], str(repository), Access())
    assert done.snapshot is None
    assert commits(repository)[0].id == before


def test_commit_says_how_many_files_it_added(repository: Path, data: Path) -> None:
    """The files themselves are listed in the store, so that commits stay small."""
    append(days(data, 4, 6), str(repository), Access())
    kept = commits(repository)[0].metadata["virtual_zarr"]
    assert (kept["command"], kept["added"]) == ("append", 2)
    assert ledger(repository)["sources"][-1]["url"] == f"file://{data}/d006.nc"


def test_same_content_under_another_name_is_known(repository: Path, data: Path) -> None:
    copy = str(shutil.copy(data / "d002.nc", data / "again.nc"))
    done = append([copy], str(repository), Access())
    assert done.snapshot is None
    assert done.known[f"file://{copy}"].endswith("d002.nc")


@pytest.mark.parametrize("name", ["d002.nc", "corrected.nc"])
def test_reissued_file_is_a_choice(repository: Path, data: Path, name: str) -> None:
    Recipe(start=2, epoch="2000-01-03", shift=4.0).write(data / name)
    with pytest.raises(Refused, match=rf"{name}: .*--replace"):
        append([str(data / name)], str(repository), Access())
    before = len(commits(repository))
    done = append([str(data / name), *days(data, 4)], str(repository), Access(), replace_known=True)
    assert done.replaced == [f"file://{data / name}"]
    assert len(commits(repository)) == before + 1
    values = Recipe(steps=6).values
    values[2:4] += 4.0
    np.testing.assert_array_equal(stored(repository, data).v, values)
    assert verify_repository(str(repository), Access(), sample=None).passed


NEXT = Recipe(start=4, epoch="2000-01-03")
REFUSED = {
    "scale_factor": (replace(NEXT, scale=0.25), "v", "0.25", "0.5"),
    "add_offset": (replace(NEXT, offset=12.0), "v", "12.0", "10.0"),
    "_FillValue": (replace(NEXT, fill=-98), "v", "-98", "-99"),
    "units": (replace(NEXT, units="degC"), "v", "degC", "K"),
    "calendar": (replace(NEXT, calendar="noleap"), "time", "noleap", "standard"),
    "dtype": (replace(NEXT, dtype="i4"), "v", "int32", "int16"),
    "chunk shape": (replace(NEXT, chunk=2), "v", "in chunks of 1 to 2", "--irregular copy"),
    "codecs": (replace(NEXT, shuffle=False), "v", "Zlib", "Shuffle"),
    "jitter": (replace(NEXT, jitter=1e-9), "lat", "1e-09", "0.0"),
    "static variable": (replace(NEXT, mask=2.0), "mask", "2.0", "1.0"),
    "overlap": (replace(NEXT, start=3), "time", "2000-01-04", "2000-01-04"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_both_values(
    repository: Path, data: Path, case: str
) -> None:
    recipe, variable, value, expected = REFUSED[case]
    recipe.write(data / "bad.nc")
    before = commits(repository)[0].id
    with pytest.raises(Refused) as raised:
        append([str(data / "bad.nc")], str(repository), Access())
    sentence = str(raised.value)
    for part in ("bad.nc", variable, value, expected, "Nothing was committed"):
        assert part in sentence
    assert commits(repository)[0].id == before


def test_skip_bad_takes_the_others(repository: Path, data: Path) -> None:
    replace(NEXT, scale=0.25).write(data / "bad.nc")
    (data / "empty.nc").touch()
    done = append([f"{data}/*.nc", *days(data, 6)], str(repository), Access(), skip_bad=True)
    assert [url.rpartition("/")[2] for url in done.appended] == ["d006.nc"]
    assert sorted(sentence.split(": ")[0].rpartition("/")[2] for sentence in done.left_out) == [
        "bad.nc",
        "empty.nc",
    ]


def test_skip_bad_passes_over_another_mask(repository: Path, data: Path) -> None:
    """Also of the first new file, which only the store can be compared with."""
    replace(NEXT, mask=2.0).write(data / "bad.nc")
    done = append([str(data / "bad.nc"), *days(data, 6)], str(repository), Access(), skip_bad=True)
    assert [url.rpartition("/")[2] for url in done.appended] == ["d006.nc"]
    assert "bad.nc: mask: the value is 2.0, but 1.0 in" in "".join(done.left_out)


def test_nothing_follows_a_partial_chunk_on_a_regular_grid(tmp_path: Path, data: Path) -> None:
    files = days(data, 0, steps=3, chunk=2)
    build(files, str(tmp_path / "repo"), Access(), concat_dim="time")
    more = days(data, 3, chunk=2)
    with pytest.raises(Refused, match=r"d003.nc: v: cannot follow 3 steps of time in chunks of 2"):
        append(more, str(tmp_path / "repo"), Access(), irregular="refuse")
    append(more, str(tmp_path / "repo"), Access(), irregular="rectilinear")


def test_repository_of_one_file_grows(tmp_path: Path, data: Path) -> None:
    build(days(data, 0), str(tmp_path / "repo"), Access())
    append(days(data, 2), str(tmp_path / "repo"), Access())
    np.testing.assert_array_equal(stored(tmp_path / "repo", data).v, Recipe(steps=4).values)


def test_files_of_another_folder(repository: Path, tmp_path: Path) -> None:
    append(days(tmp_path / "elsewhere", 4), str(repository), Access())
    assert verify_repository(str(repository), Access(), sample=None).passed


@pytest.mark.parametrize("how", ["expired", "amended"])
def test_the_list_of_sources_outlives_the_history(repository: Path, data: Path, how: str) -> None:
    append(days(data, 4), str(repository), Access())
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    if how == "expired":
        now = datetime.now(UTC)
        assert repo.expire_snapshots(older_than=now)
        assert repo.garbage_collect(now).snapshots_deleted
    else:
        repo.rewrite_manifests("again", branch="main", commit_method="amend")
        assert "virtual_zarr" not in commits(repository)[0].metadata
    done = append([f"{data}/*.nc", *days(data, 6)], str(repository), Access())
    assert done.appended == [f"file://{data}/d006.nc"]
    assert len(done.known) == 3
    report = verify_repository(str(repository), Access(), sample=None)
    assert report.passed
    assert report.sources == 4
    np.testing.assert_array_equal(stored(repository, data).v, Recipe(steps=8).values)


def test_history_of_older_releases_that_has_expired_is_said(repository: Path, data: Path) -> None:
    """They kept the list in their commits; whoever names the files again goes on."""
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    session = repo.writable_session("main")
    del zarr.open_group(session.store, mode="r+")["_virtual_zarr"]
    session.commit("expired", metadata={"virtual_zarr": {"appended": True, "sources": []}})
    held = (str(data / "d000.nc"), str(data / "d002.nc"))
    with pytest.raises(InputError, match=r"has expired.*append FILES --source FILES"):
        append(days(data, 4), str(repository), Access())
    append(days(data, 4), str(repository), Access(), made_of=held)
    np.testing.assert_array_equal(stored(repository, data).v, Recipe(steps=6).values)
    assert verify_repository(str(repository), Access(), sample=None).sources == 3


def test_foreign_repository_is_refused(tmp_path: Path, data: Path) -> None:
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "own")))
    with pytest.raises(InputError, match="no commit of this tool"):
        append(days(data, 0), str(tmp_path / "own"), Access())


def test_two_runs_at_once_append_each_file_once(repository: Path, data: Path) -> None:
    files = days(data, 4, 6, 8)
    command = ["append", *files, "--repo", str(repository), "--quiet"]
    runs = [warm_start.Process(*command) for _ in range(2)]
    assert [run.wait(timeout=180) for run in runs] == [0, 0]
    np.testing.assert_array_equal(stored(repository, data).v, Recipe(steps=10).values)
    assert verify_repository(str(repository), Access(), sample=None).sources == 5


def timed(folder: Path, *times: float, units: str, **encoding: object) -> list[str]:
    """Files of one step each, at ``times`` in ``units``."""
    folder.mkdir(exist_ok=True)
    for number, time in enumerate(times):
        dataset = xr.Dataset({"v": ("time", [float(number)])}, {"time": [time]})
        dataset.time.attrs["units"] = units
        path = folder / f"t{number:02}.nc"
        dataset.to_netcdf(path, engine="h5netcdf", encoding={"v": {"chunksizes": (1,)}, **encoding})
    return [str(folder / f"t{number:02}.nc") for number in range(len(times))]


def test_times_finer_than_the_axis_are_refused(tmp_path: Path, data: Path) -> None:
    files = timed(data, 0, 1, 2, 3, 4.5, *range(5, 12), units="seconds since 2000-01-01")
    build(files[:2], str(tmp_path / "repo"), Access())
    sentence = r"t04.nc: time: the resolution of its times is milliseconds, but seconds in .*repo"
    with pytest.raises(Refused, match=sentence):
        append(files[2:], str(tmp_path / "repo"), Access())


def test_another_epoch_of_times_that_nobody_decodes_is_refused(tmp_path: Path, data: Path) -> None:
    """xarray decodes no months, so these times stay numbers; the same ones are no same records."""
    first = timed(data, 0, 1, units="months since 2000-01-01")
    build(first, str(tmp_path / "repo"), Access(), concat_dim="time")
    for times in ((0,), range(2, 14)):
        files = timed(tmp_path / f"{len(times)}", *times, units="months since 2000-03-01")
        with pytest.raises(Refused, match=r"units is months since 2000-03-01, but months since"):
            append(files, str(tmp_path / "repo"), Access())


def test_large_files_with_one_fingerprint(tmp_path: Path, data: Path) -> None:
    """Parts of a large file may be the same in the next: then its records tell."""
    data.mkdir()
    for day in range(3):
        with h5py.File(data / f"d{day}.nc", "w") as file:
            early = file.create_dataset("early", data=np.zeros((1, 200_000)))
            time = file.create_dataset("time", data=[float(day)])
            time.attrs["units"] = "days since 2000-01-01"
            time.make_scale("time")
            file["x"] = np.zeros(200_000)
            file["x"].make_scale("x")
            for number, name in enumerate(("time", "x")):
                early.dims[number].attach_scale(file[name])
    files = sorted(map(str, data.glob("*.nc")))
    build(files[:1], str(tmp_path / "repo"), Access())
    done = append(files[1:], str(tmp_path / "repo"), Access())
    assert len(done.appended) == 2
    sources = ledger(tmp_path / "repo")["sources"]
    assert len({record["fingerprint"] for record in sources}) == 1


def test_s3_twice_and_twice_at_once(
    enter_world: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Objects and repository in a bucket; the commits of two runs meet there."""
    files = [Path(file) for file in days(tmp_path, 0, 2, 4, 6)]
    enter_world("s3-keys")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    bucket = S3Store(STORES_BUCKET, region="us-west-2")
    for file in files:
        obstore.put(bucket, f"growing/{file.name}", file.read_bytes())
    urls = [f"s3://{STORES_BUCKET}/growing/{file.name}" for file in files]
    repository = f"s3://{STORES_BUCKET}/growing.icechunk"
    build(urls[:2], repository, Access())
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(append, urls, repository, Access()) for _ in range(2)]
    assert sorted(len(run.result().appended) for run in runs) == [0, 2]
    assert append(urls, repository, Access()).snapshot is None
    report = verify_repository(repository, Access(), sample=None)
    assert report.failures == []
    assert report.sources == 4
    obstore.put(bucket, "growing/d004.nc", replace(NEXT, shift=4.0).write(files[2]).read_bytes())
    with pytest.raises(Refused, match=r"d004.nc: .* when it was committed. .*--replace"):
        append(urls, repository, Access())
    done = append(urls, repository, Access(), replace_known=True)
    assert done.replaced == [urls[2]]
    assert verify_repository(repository, Access(), sample=None).passed


def test_group_that_does_not_fit(tmp_path: Path, data: Path) -> None:
    """Each group is compared, and the sentence names the variable of the group."""
    data.mkdir()

    def write(start: int, units: str) -> str:
        path = data / f"g{start}.nc"
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("time", None)
            time = file.createVariable("time", "f8", ("time",))
            time.units = "days since 2000-01-01"
            time[:] = [start, start + 1]
            group = file.createGroup("science")
            v = group.createVariable("v", "f4", ("time",), chunksizes=(1,))
            v[:], v.units = [start, start + 1], units
        return str(path)

    build([write(0, "K"), write(2, "K")], str(tmp_path / "repo"), Access())
    append([write(4, "K")], str(tmp_path / "repo"), Access())
    assert verify_repository(str(tmp_path / "repo"), Access(), sample=None).passed
    with pytest.raises(Refused, match=r"g6.nc: v: units is degC, but K in"):
        append([write(6, "degC")], str(tmp_path / "repo"), Access())


def test_times_finer_than_those_of_an_earlier_batch(tmp_path: Path, data: Path) -> None:
    files = timed(data, 0.0, 1.0, 2.0, 3.5, units="seconds since 2000-01-01")
    sentence = r"t03.nc: time: the resolution of its times is milliseconds, but seconds in"
    with pytest.raises(Refused, match=sentence + r".*--batch 4"):
        build(files, str(tmp_path / "repo"), Access(), batch=2)
    build(files, str(tmp_path / "other"), Access(), batch=4)
    assert verify_repository(str(tmp_path / "other"), Access(), sample=None).passed
