"""``strict_cf`` is the same in every document, and refuses what would decode differently."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import pytest
import xarray as xr
from harness.blocks import bundle_documents, read_chains
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

ROOT = Path(__file__).parents[2]
REGISTRY = ObjectStoreRegistry({"file://": LocalStore()})


def definitions(source: str) -> list[str]:
    """Each place where a block gives ``CF_KEYS`` and ``strict_cf``, without its layout."""
    found = []
    for node in ast.parse(source).body:
        is_keys = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CF_KEYS"
        if is_keys or (isinstance(node, ast.FunctionDef) and node.name == "strict_cf"):
            found.append(ast.unparse(node))
    return found


COPIES = {
    block.fence.where: "\n\n".join(found)
    for document in bundle_documents(ROOT)
    for chain in read_chains(document)
    for block in chain.blocks
    if (found := definitions(block.example.source))
}


def test_skill_has_the_definition() -> None:
    assert any("skill.md" in where for where in COPIES)


@pytest.mark.parametrize("where", COPIES, ids=lambda where: Path(where).name)
def test_every_copy_is_the_same(where: str) -> None:
    (first,) = (copy for name, copy in COPIES.items() if "skill.md" in name)
    assert COPIES[where] == first


@pytest.fixture(scope="module")
def strict_cf() -> Any:
    names: dict[str, Any] = {"np": np}
    exec(next(copy for name, copy in COPIES.items() if "skill.md" in name), names)
    return names["strict_cf"]


def write(path: Path, attributes: dict[str, Any], dtype: str = "f8") -> xr.Dataset:
    """`v` of two days, with attributes that the file keeps as they are; opened virtually."""
    variable = xr.Variable("time", np.array([59, 60], dtype))
    xr.Dataset({"v": variable}).to_netcdf(path, engine="h5netcdf")
    with xr.backends.H5NetCDFStore.open(path, mode="a") as store:
        for name, value in attributes.items():
            store.ds["v"].attrs[name] = value
    return open_virtual_dataset(f"file://{path}", registry=REGISTRY, parser=HDFParser())


def combined(tmp_path: Path, strict_cf: Any, *attributes: dict[str, Any], dtype: str) -> xr.Dataset:
    parts = [write(tmp_path / f"{n}.nc", each, dtype) for n, each in enumerate(attributes)]
    return xr.concat(parts, "time", combine_attrs=strict_cf)


@pytest.mark.parametrize(
    ("attributes", "dtype"),
    [
        ({"missing_value": np.nan}, "f8"),
        ({"missing_value": np.float32("nan"), "units": "K"}, "f4"),
        ({"missing_value": np.array([np.nan, -1.0])}, "f8"),
        ({"scale_factor": np.float32(0.1), "add_offset": np.float32(270)}, "i2"),
        ({"scale_factor": np.array([0.1])}, "i2"),
        ({"units": "K"}, "f4"),
        ({}, "f4"),
    ],
)
def test_files_alike_are_combined(
    tmp_path: Path, strict_cf: Any, attributes: dict[str, Any], dtype: str
) -> None:
    assert combined(tmp_path, strict_cf, attributes, attributes, dtype=dtype).sizes["time"] == 4


@pytest.mark.parametrize(
    ("one", "other", "key"),
    [
        ({"units": "days since 2000-01-01", "calendar": "standard"}, "noleap", "calendar"),
        ({"units": "K"}, "degC", "units"),
        ({"scale_factor": 0.1}, 0.2, "scale_factor"),
        ({"add_offset": 1.0}, 2.0, "add_offset"),
        ({"missing_value": np.nan}, -1.0, "missing_value"),
        ({"missing_value": np.array([-1.0, -2.0])}, np.array([-1.0, -3.0]), "missing_value"),
        ({"_Unsigned": "true"}, "false", "_Unsigned"),
    ],
)
def test_files_that_decode_differently_are_refused(
    tmp_path: Path, strict_cf: Any, one: dict[str, Any], other: Any, key: str
) -> None:
    with pytest.raises(ValueError, match=f"^{key} differs between files: "):
        combined(tmp_path, strict_cf, one, one | {key: other}, dtype="i2")
    without = {name: value for name, value in one.items() if name != key}
    with pytest.raises(ValueError, match=f"^{key} differs between files: .*absent"):
        combined(tmp_path, strict_cf, one, without, dtype="i2")


def test_fill_value_that_one_file_lacks_is_refused(tmp_path: Path, strict_cf: Any) -> None:
    paths = [tmp_path / f"{number}.nc" for number in range(2)]
    for path, fill in zip(paths, (-1, None), strict=True):
        ds = xr.Dataset({"v": ("time", np.arange(2, dtype="i2"))})
        ds.to_netcdf(path, engine="h5netcdf", encoding={"v": {"_FillValue": fill}})
    parts = [open_virtual_dataset(f"file://{p}", REGISTRY, HDFParser()) for p in paths]
    with pytest.raises(ValueError, match="_FillValue differs"):
        xr.concat(parts, "time", combine_attrs=strict_cf)


def test_calendar_matters(tmp_path: Path) -> None:
    """What the check is for: without it the second file's dates are a day off."""
    units = {"units": "days since 2001-01-01"}
    parts = [
        write(tmp_path / f"{calendar}.nc", units | {"calendar": calendar}, "i4")
        for calendar in ("standard", "360_day")
    ]
    folder = f"file://{tmp_path}/"
    container = icechunk.VirtualChunkContainer(folder, icechunk.local_filesystem_store(folder))
    config = icechunk.RepositoryConfig(virtual_chunk_containers={folder: container})
    access = {folder: icechunk.credentials.LocalFileSystemAccess}
    repo = icechunk.Repository.create(icechunk.in_memory_storage(), config, access)
    with repo.transaction("main", message="both") as store:
        xr.concat(parts, "time", combine_attrs="override").vz.to_icechunk(store)
    stored = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    source = xr.open_dataset(tmp_path / "360_day.nc", engine="h5netcdf")
    assert str(stored.v.values[2])[:10] == "2001-03-01"
    assert str(source.v.values[0])[:10] == "2001-02-30"
