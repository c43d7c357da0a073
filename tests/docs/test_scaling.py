"""The batches of ``references/scaling.md`` refuse what would come out of order."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import icechunk
import numpy as np
import pytest
import xarray as xr
import zarr

SCALING = Path(__file__).parents[2] / "references" / "scaling.md"


def save_modules(folder: Path) -> None:
    """The two modules of the page, as a user saves them."""
    for name in ("combining.py", "batches.py"):
        (code,) = re.findall(
            rf'^```python [^\n]*file="{name}"\n(.*?)^```', SCALING.read_text(), re.DOTALL | re.M
        )
        (folder / name).write_text(code)


@pytest.fixture
def batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    save_modules(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("combining", "batches"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    combining = importlib.import_module("combining")
    module = importlib.import_module("batches")
    for name in ("combining", "batches"):  # gone after the test
        monkeypatch.setitem(sys.modules, name, sys.modules[name])
    monkeypatch.setattr(combining, "LOADED", ["time", "crs"])
    return module


def write_days(folder: Path, first_days: list[int]) -> list[str]:
    """Files of two days each, named in this order."""
    urls = []
    for number, first in enumerate(first_days):
        path = folder / f"{number}.nc"
        time = ("time", [first, first + 1], {"units": "days since 2024-01-01"})
        dataset = xr.Dataset({"v": ("time", np.arange(2.0) + first), "crs": 7}, {"time": time})
        dataset.attrs["coordinates"] = "crs"  # as xarray writes what no variable names
        dataset.to_netcdf(path, engine="h5netcdf")
        os.utime(path, (1.7e9, 1.7e9))  # older than the references to it
        urls.append(f"file://{path}")
    return urls


@pytest.mark.parametrize(
    "first_days",
    [[0, 2, 4, 3], [0, 1, 4, 6], [0, 4, 2, 6], [4, 6, 0, 2], [0, 2, 2, 4]],
    ids=["overlap", "overlap at once", "disorder", "later batch before", "twice"],
)
def test_what_is_out_of_order_is_refused(
    batches: ModuleType, tmp_path: Path, first_days: list[int]
) -> None:
    urls = write_days(tmp_path, first_days)
    repo = batches.create(str(tmp_path / "repo"), tmp_path)
    with pytest.raises(ValueError, match="times overlap or go back"):
        batches.build(repo, urls, batches.one_by_one, size=2)
    assert len(list(repo.ancestry(branch="main"))) == 1


def test_what_is_in_order_is_written(batches: ModuleType, tmp_path: Path) -> None:
    """Coordinates that the group names, and no variable, stay coordinates."""
    urls = write_days(tmp_path, [0, 2, 4, 6, 8])
    repo = batches.create(str(tmp_path / "repo"), tmp_path)
    batches.build(repo, urls, batches.one_by_one, size=2)
    store = repo.readonly_session("main").store
    batches.compare(store, urls)
    assert set(xr.open_zarr(store, consolidated=False).coords) == {"time", "crs"}


DYING = """
import os, signal, sys
import batches, combining

combining.LOADED = ["time", "crs"]
folder, *urls = sys.argv[1:]


def dying(names):
    if names[0] == urls[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return batches.one_by_one(names)


batches.build(combining.create(f"{folder}/repo", folder), urls, dying, size=2)
"""


def test_build_that_was_killed_goes_on(batches: ModuleType, tmp_path: Path) -> None:
    """Killed in its second batch: main is empty, the first batch stands, the rest follows."""
    urls = write_days(tmp_path, [0, 2, 4, 6, 8])
    killed = subprocess.run([sys.executable, "-c", DYING, str(tmp_path), *urls], cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    repo = batches.create(str(tmp_path / "repo"), tmp_path)
    assert repo.list_branches() == {"build", "main"}
    assert len(list(repo.ancestry(branch="main"))) == 1
    assert len(list(repo.ancestry(branch="build"))) == 2
    parsed = []

    def parse_all(names: list[str]) -> list[xr.Dataset]:
        parsed.extend(names)
        return batches.one_by_one(names)

    batches.build(repo, urls, parse_all, size=2)
    assert parsed == urls[2:]
    batches.compare(repo.readonly_session("main").store, urls)
    assert repo.list_branches() == {"main"}


def test_second_job_between_check_and_commit_is_noticed(
    batches: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs write the same batch: one of them commits it, and nothing is there twice."""
    urls = write_days(tmp_path, [0, 2, 4, 6])
    repo = batches.create(str(tmp_path / "repo"), tmp_path)
    another = batches.create(str(tmp_path / "repo"), tmp_path)
    others = []

    def open_before_another(*args: object, **options: object) -> xr.Dataset:
        """The check of the second batch reads the archive: the other job commits right then."""
        opened = xr.open_zarr(*args, **options)
        if not others:
            others.append("commits once")
            more = batches.combine(batches.parse(urls[0]), batches.one_by_one(urls[2:]))
            names = {"files": urls[2:]}
            with another.transaction("build", message="another", metadata=names) as store:
                more.drop_vars("crs").vz.to_icechunk(store, append_dim="time")
        return opened

    module = ModuleType("xarray")
    vars(module).update(vars(xr), open_zarr=open_before_another)
    monkeypatch.setattr(batches, "xr", module)
    with pytest.raises(icechunk.ConflictError):
        batches.build(repo, urls, batches.one_by_one, size=2)
    held = xr.open_zarr(repo.readonly_session("build").store, consolidated=False)
    assert held.v.values.tolist() == list(range(8))
    assert len(list(repo.ancestry(branch="main"))) == 1


def test_archive_that_differs_from_its_files_is_not_published(
    batches: ModuleType, tmp_path: Path
) -> None:
    urls = write_days(tmp_path, [0, 2, 4, 6])
    repo = batches.create(str(tmp_path / "repo"), tmp_path)

    def parse_wrong(names: list[str]) -> list[xr.Dataset]:
        parts = batches.one_by_one(names)
        return [part.assign_coords(time=part.time + np.timedelta64(1, "h")) for part in parts]

    with pytest.raises(AssertionError):
        batches.build(repo, urls, parse_wrong, size=2)
    assert len(list(repo.ancestry(branch="main"))) == 1


@pytest.mark.parametrize("again", [False, True])
def test_amended_rewrite_keeps_metadata_only_if_given(again: bool) -> None:
    repo = icechunk.Repository.create(icechunk.in_memory_storage())
    with repo.transaction("main", message="a", metadata={"files": ["a.nc"]}) as store:
        zarr.create_array(store, name="v", shape=4, chunks=1, dtype="i4")[:] = 1
    metadata = next(repo.ancestry(branch="main")).metadata if again else None
    repo.rewrite_manifests("split", branch="main", commit_method="amend", metadata=metadata)
    kept = next(repo.ancestry(branch="main")).metadata
    assert kept.get("files") == (["a.nc"] if again else None)


def test_name_that_no_file_has_is_named(batches: ModuleType, tmp_path: Path) -> None:
    (url,) = write_days(tmp_path, [0])
    sys.modules["combining"].LOADED = ["time", "altitude"]
    with pytest.raises(KeyError, match="altitude"):
        batches.parse(url)
