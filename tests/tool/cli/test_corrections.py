"""Late and wrong files from a shell: in each cloud, as JSON, and what the exit status says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import obstore
import pytest
import xarray as xr
from making import Recipe
from vzarr.sources.schemes import Access, object_store
from worlds.s3 import ARCHIVE_BUCKET, STORES_BUCKET

CLOUDS = [
    ("s3-keys", f"s3://{ARCHIVE_BUCKET}/era5", f"s3://{STORES_BUCKET}"),
    ("gcs-service-account", "gs://acme-climate-archive/era5", "gs://acme-virtual-stores"),
    ("azure-key", "az://archive/era5", "az://stores"),
]


@pytest.mark.parametrize(("world", "sources", "stores"), CLOUDS)
def test_in_each_cloud(
    run: Callable[..., tuple[int, str]],
    enter_world: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    world: str,
    sources: str,
    stores: str,
) -> None:
    enter_world(world)
    repository = f"{stores}/corrected"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acmeclimate")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    days = [f"{sources}/era5_t2m_2024-01-0{day}.nc" for day in range(1, 6)]
    status, said = run("build", days[1], days[3], "--repo", repository, "--concat-dim", "time")
    assert status == 0, said
    status, said = run("append", f"{sources}/*.nc", "--repo", repository, "--json")
    assert status == 0, said
    done = json.loads(said)
    assert done["inserted"] == [days[0], days[2]]
    assert done["appended"] == [days[4]]
    status, said = run("remove", repository, "--records", "..2024-01-01", "--json")
    assert status == 0, said
    assert json.loads(said)["files"] == [days[0]]
    status, said = run("remove", repository, days[2], "--gap")
    assert status == 0, said
    assert "4 of 16 records missing; snapshot" in said
    status, said = run("verify", "--repo", repository, "--all")
    assert status == 0, said
    status, said = run("log", repository)
    assert "remove (1 removed): 1 files removed, a gap is left" in said


@pytest.mark.parametrize(("world", "sources", "stores"), CLOUDS)
def test_a_product_is_added_in_each_cloud(
    run: Callable[..., tuple[int, str]],
    enter_world: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    world: str,
    sources: str,
    stores: str,
) -> None:
    enter_world(world)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "acmeclimate")
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    repository, winds = f"{stores}/added", f"{stores}/winds"
    days = [f"{sources}/era5_t2m_2024-01-0{day}.nc" for day in range(1, 6)]
    for day in days[:2]:
        store, path = object_store(day, Access())
        (tmp_path / "t2m.nc").write_bytes(bytes(obstore.get(store, path).bytes()))
        with xr.open_dataset(tmp_path / "t2m.nc", engine="h5netcdf") as source:
            wind = source[["t2m"]].rename(t2m="u10").load()
        wind.to_netcdf(tmp_path / "u10.nc", engine="h5netcdf")
        store, path = object_store(day.replace(sources, winds).replace("t2m", "u10"), Access())
        obstore.put(store, path, tmp_path / "u10.nc")
    status, said = run("build", *days[:2], "--repo", repository, "--concat-dim", "time")
    assert status == 0, said
    status, said = run("add", f"{winds}/*.nc", "--repo", repository, "--json")
    assert status == 0, said
    done = json.loads(said)
    assert (done["variables"], len(done["added"])) == (["u10"], 2)
    assert done["containers"] == [f"{winds}/"]
    status, said = run("add", f"{winds}/*.nc", "--repo", repository, "--json")
    assert (status, json.loads(said)["snapshot"]) == (0, None)
    status, said = run("append", f"{sources}/*.nc", "--repo", repository, "--json")
    assert (status, len(json.loads(said)["appended"])) == (0, 3)
    status, said = run("verify", "--repo", repository, "--all")
    assert status == 0, said
    status, said = run("log", repository)
    assert "add (2 added): added u10 of 2 files" in " ".join(said.split())


def test_a_late_file_is_said_and_ends_with_status_2(
    run: Callable[..., tuple[int, str]], clean_environment: Path
) -> None:
    for n in (0, 2):
        Recipe(start=2 * n).write(Path(f"f{n}.nc"))
    assert run("build", "f0.nc", "f2.nc", "--repo", "repo")[0] == 0
    for n in (1, 3):
        Recipe(start=2 * n).write(Path(f"f{n}.nc"))
    status, said = run("append", "f*.nc", "--repo", "repo", "--no-insert")
    assert status == 2
    assert "1 files appended" in said
    assert "late, and left out: " in said
    assert "put it there with --insert." in said
    status, said = run("append", "f*.nc", "--repo", "repo", "--no-insert")  # the next run of cron
    assert status == 2
    assert said.endswith("put it there with --insert. Nothing was committed.\n")
    assert run("append", "f*.nc", "--repo", "repo", "--no-insert", "--skip-bad")[0] == 0
    status, said = run("append", "f*.nc", "--repo", "repo")
    assert (status, "1 inserted" in said) == (0, True)
    assert run("append", "f*.nc", "--repo", "repo", "--insert")[0] == 0


def test_the_way_back_is_printed_and_works(
    run: Callable[..., tuple[int, str]], clean_environment: Path
) -> None:
    for n in range(3):
        Recipe(start=2 * n).write(Path(f"f{n}.nc"))
    assert run("build", "f*.nc", "--repo", "repo")[0] == 0
    status, said = run("remove", "repo", "f1.nc")
    assert status == 0
    back = said.strip().rpartition("virtual_zarr.py ")[2].split()
    assert run(*back)[0] == 0
    status, said = run("remove", "repo", "f1.nc", "--dry-run")
    assert (status, "2 of 6 records would be removed; nothing was committed" in said) == (0, True)
    assert run("verify", "--repo", "repo", "--all")[0] == 0


def test_what_is_refused_is_one_sentence(
    run: Callable[..., tuple[int, str]], clean_environment: Path
) -> None:
    Recipe().write(Path("f0.nc"))
    assert run("build", "f0.nc", "--repo", "repo", "--concat-dim", "time")[0] == 0
    for arguments in ([], ["f9.nc"], ["f0.nc"], ["f0.nc", "--index", "0..1"], ["--index", "7..9"]):
        status, said = run("remove", "repo", *arguments)
        assert status == 2, said
        assert said.startswith("virtual_zarr.py: ")
        assert len(said.splitlines()) == 1
