"""Scalars that are not the same in all files are numbers along the record dimension."""

from __future__ import annotations

import os
from pathlib import Path

import icechunk
import netCDF4
import numpy as np
import pytest
import xarray as xr
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.refresh import refresh
from vzarr.commands.verify import verify_repository
from vzarr.errors import Refused
from vzarr.sources.schemes import Access

SCALARS = ("max_radiance", "count", "packed", "made", "orbit", "missing")


def scene(folder: Path, number: int, steps: int | None = None, group: str = "", **more: object):
    """Laid out as GOES's: a scalar ``t`` with bounds, and scalars of this image alone.

    With ``steps`` the file has so many along a dimension ``t`` instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"scene_{number}.nc"
    said = more.get("like", number)
    with netCDF4.Dataset(path, "w") as file:
        room = file.createGroup(group) if group else file
        for name, size in (("y", 4), ("x", 6), ("nv", 2)):
            room.createDimension(name, size)
        lead = ()
        if steps is not None:
            room.createDimension("t", None)
            lead = ("t",)
        rad = room.createVariable(
            "Rad", "i2", (*lead, "y", "x"), zlib=True, chunksizes=(*([1] * len(lead)), 2, 3)
        )
        rad.scale_factor, rad.coordinates = 0.5, "orbit"
        values = np.random.default_rng(number).integers(0, 400, (steps or 1, 4, 6)) / 2
        rad[:] = values if lead else values[0]
        t = room.createVariable("t", "f8", lead)
        t.units, t.bounds = "seconds since 2000-01-01 12:00:00", "t_bounds"
        begin = 7e8 + 300 * number + np.arange(steps or 1) / 2
        t[...] = begin if lead else begin[0]
        ends = np.stack([begin, begin + 0.25], -1)
        room.createVariable("t_bounds", "f8", (*lead, "nv"))[:] = ends if lead else ends[0]
        room.createVariable("x", "f4", ("x",))[:] = np.arange(6)
        room.createVariable("projection", "i4").grid_mapping_name = "geostationary"
        room.createVariable("max_radiance", "f4")[...] = 99.5 + said
        room.createVariable("count", "i4", fill_value=-1)[...] = 600 - said
        packed = room.createVariable("packed", "i2", fill_value=-1)
        packed.scale_factor = 0.5
        packed[...] = 10.5 + said
        made = room.createVariable("made", "f8")
        made.units = "seconds since 2000-01-01"
        made[...] = 1000.0 * said
        room.createVariable("orbit", str)[...] = "x" * (1 + said)
        gone = room.createVariable("missing", "f4", fill_value=-9.0)
        gone[...] = -9.0 if said % 2 else said
    return str(path)


def stored(repository: Path, folder: Path, group: str = "") -> xr.Dataset:
    prefix = f"file://{folder}/"
    repo = icechunk.Repository.open(
        icechunk.local_filesystem_storage(str(repository)),
        authorize_virtual_chunk_access={prefix: icechunk.credentials.LocalFileSystemAccess},
    )
    store = repo.readonly_session("main").store
    return xr.open_zarr(store, group=group or None, consolidated=False, chunks=None).load()


def truth(files: list[str], group: str = "") -> xr.Dataset:
    parts = []
    for file in files:
        with xr.open_dataset(file, engine="h5netcdf", group=group or None) as dataset:
            parts.append(dataset.load())
    if "t" not in parts[0].dims:
        grown = [*SCALARS, "Rad", "t_bounds"]
        parts = [
            part.set_coords("t")
            .expand_dims("t")
            .assign(
                {name: part[name].expand_dims("t") for name in grown}
                | {name: part[name] for name in ("x", "projection")}
            )
            for part in parts
        ]
        return xr.concat(parts, "t", data_vars="minimal", coords="minimal", compat="override")
    parts = [
        part.assign({n: part[n].expand_dims(t=part.sizes["t"]) for n in SCALARS}).set_coords(
            "orbit"
        )
        for part in parts
    ]
    return xr.concat(parts, "t", data_vars="minimal", coords="minimal", compat="equals")


@pytest.mark.parametrize("history", ["build", "batches", "append", "append to one", "steady first"])
@pytest.mark.parametrize("kind", ["scalar time", "steps", "group"])
def test_scalars_lie_along_the_records(tmp_path: Path, kind: str, history: str) -> None:
    group = "science" if kind == "group" else ""
    options = {"steps": None if kind == "scalar time" else 2, "group": group}
    files = [
        # Two files alike are stored once; the third has one value for each record.
        scene(tmp_path / "data", n, **options, like=n if history != "steady first" else n // 2)
        for n in range(4)
    ]
    repo, access = str(tmp_path / "repo"), Access()
    first = {"build": 4, "batches": 4, "append": 2, "append to one": 1, "steady first": 2}[history]
    built = build(
        files[:first], repo, access, concat_dim="t", batch=1 if history == "batches" else None
    )
    for number in range(first, 4):
        append(files[: number + 1], repo, access)
    found, expected = stored(tmp_path / "repo", tmp_path / "data", group), truth(files, group)
    xr.testing.assert_equal(found, expected)
    assert found.projection.ndim == 0
    report = verify_repository(repo, access, sample=None)
    assert report.passed, report.failures
    if history == "build":
        (note,) = [note for note in built.notes if "not the same in all files" in note]
        assert note == (
            "count, made, max_radiance, missing, orbit and 1 more: not the same in all files, so "
            "stored along t"
        )
    scene(tmp_path / "data", 1, **options, like=7)
    os.utime(files[1], (2e9, 2e9))
    refresh(repo, access)
    found, expected = stored(tmp_path / "repo", tmp_path / "data", group), truth(files, group)
    xr.testing.assert_equal(found, expected)


def test_packing_of_scalars_must_agree(tmp_path: Path) -> None:
    files = [scene(tmp_path, n) for n in range(2)]
    with netCDF4.Dataset(files[1], "a") as file:
        file["packed"].scale_factor = 0.25
    with pytest.raises(Refused, match=r"packed: scale_factor is 0.25, but 0.5"):
        build(files, str(tmp_path / "repo"), Access(), concat_dim="t")
