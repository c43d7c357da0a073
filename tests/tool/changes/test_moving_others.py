"""``refresh --from --to`` on a repository that VirtualiZarr and Icechunk alone have made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_mfdataset
from virtualizarr.parsers import HDFParser, NetCDF3Parser
from vzarr.changes import moving_others
from vzarr.changes.replacements import Refreshed
from vzarr.commands.relocate import repoint
from vzarr.errors import InputError, Refused
from vzarr.repository.references import rewrite_urls
from vzarr.sources.schemes import Access

COMBINE = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}


def write(path: Path, day: int, chunk: int = 1, kind: str = "NETCDF4") -> None:
    with netCDF4.Dataset(path, "w", format=kind) as file:
        file.createDimension("time", 2)
        file.createDimension("y", 40)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = [day, day + 1]
        options = {"zlib": True, "chunksizes": (chunk, 40)} if kind == "NETCDF4" else {}
        v = file.createVariable("v", "f4", ("time", "y"), **options)
        v[:] = np.random.default_rng(day).normal(size=(2, 40))


def by_hand(folder: Path, location: Path, kind: str = "NETCDF4") -> icechunk.Repository:
    """A repository of all files of a folder; nothing of this tool is in it."""
    prefix = f"file://{folder}/"
    parser = HDFParser() if kind == "NETCDF4" else NetCDF3Parser()
    vds = open_virtual_mfdataset(
        [f"file://{path}" for path in sorted(folder.glob("*.nc"))],
        registry=ObjectStoreRegistry({"file://": LocalStore()}),
        parser=parser,
        combine="nested",
        concat_dim="time",
        combine_attrs="drop_conflicts",
        **COMBINE,
    )
    config = icechunk.RepositoryConfig.default()
    store = icechunk.local_filesystem_store(prefix)
    config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    storage = icechunk.local_filesystem_storage(str(location))
    repo = icechunk.Repository.create(storage, config)
    with repo.transaction("main", message="by hand") as written:
        vds.vz.to_icechunk(written)
    return repo


@pytest.fixture(params=["NETCDF4", "NETCDF3_CLASSIC"])
def moved(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, xr.Dataset]:
    """A repository whose archive went from ``old`` to ``new``, and what it showed before."""
    old = tmp_path / "old"
    old.mkdir()
    for number in range(3):
        write(old / f"f{number}.nc", 2 * number, kind=request.param)
    with xr.open_mfdataset(sorted(old.glob("*.nc")), combine="nested", concat_dim="time") as ds:
        truth = ds.load()
    by_hand(old, tmp_path / "repo", request.param)
    shutil.move(old, tmp_path / "new")
    return tmp_path, truth


def head(folder: Path) -> list[str]:
    repo = icechunk.Repository.open(icechunk.local_filesystem_storage(str(folder / "repo")))
    return [each.message for each in repo.ancestry(branch="main")]


def move(folder: Path, **options: bool) -> Refreshed:
    places = str(folder / "old"), str(folder / "new")
    return repoint(str(folder / "repo"), Access(), *places, **options)


def test_references_follow_the_archive(moved: tuple[Path, xr.Dataset]) -> None:
    folder, truth = moved
    assert len(move(folder, dry_run=True).changed) == 3
    assert len(head(folder)) == 2
    done = move(folder)
    assert done.snapshot is not None
    assert any("of 3 the chunks were compared" in note for note in done.notes)
    assert len(head(folder)) == 3
    prefix = f"file://{folder / 'new'}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(folder / "repo")),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    ds = xr.open_zarr(store, consolidated=False).load()
    xr.testing.assert_equal(ds.v, truth.v)
    assert "_virtual_zarr" not in list(store.list_dir(""))  # not the tool's from now on
    with pytest.raises(InputError, match="no reference begins with it"):
        move(folder)


def test_a_missing_file_is_refused(moved: tuple[Path, xr.Dataset]) -> None:
    folder, _ = moved
    (folder / "new" / "f1.nc").unlink()
    with pytest.raises(Refused, match=r"f1\.nc: is not there"):
        move(folder)
    assert len(head(folder)) == 2


def test_a_file_with_chunks_elsewhere_is_refused(tmp_path: Path) -> None:
    for name, chunk in (("old", 1), ("new", 2)):
        (tmp_path / name).mkdir()
        for number in range(3):
            write(tmp_path / name / f"f{number}.nc", 2 * number, chunk)
    by_hand(tmp_path / "old", tmp_path / "repo")
    shutil.rmtree(tmp_path / "old")  # else its content tells
    with pytest.raises(Refused, match=r"has no chunk of \d+ bytes at \d+"):
        move(tmp_path)
    assert len(head(tmp_path)) == 2


def test_another_file_of_the_same_layout_is_refused(tmp_path: Path) -> None:
    """Every reference would fit it, and read other values."""
    for name, shift in (("old", 0), ("new", 100)):
        (tmp_path / name).mkdir()
        for number in range(3):
            path = tmp_path / name / f"f{number}.nc"
            write(path, 2 * number + shift, kind="NETCDF3_CLASSIC")
    by_hand(tmp_path / "old", tmp_path / "repo", "NETCDF3_CLASSIC")
    with pytest.raises(Refused, match="holds other bytes than the file at the old place"):
        move(tmp_path)
    assert len(head(tmp_path)) == 2


def test_a_change_after_the_look_is_noticed(
    moved: tuple[Path, xr.Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The references get the time from before the files were looked at."""
    folder, _ = moved
    times: list[datetime] = []
    checked = moving_others._check_chunks

    def check(*arguments: object) -> None:
        checked(*arguments)
        times.append(datetime.now(UTC))

    def rewrite(session: icechunk.Session, new: Callable[[str], str], guard: datetime) -> int:
        assert guard < times[0]
        return rewrite_urls(session, new, guard)

    for path in (folder / "new").glob("*.nc"):
        os.utime(path, (1e9, 1e9))
    monkeypatch.setattr(moving_others, "_check_chunks", check)
    monkeypatch.setattr(moving_others, "rewrite_urls", rewrite)
    assert move(folder).references
