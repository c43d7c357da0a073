"""Manifests are cut so that each holds about as many references, whatever an array's chunks."""

from __future__ import annotations

from pathlib import Path

import icechunk
import numpy as np
import pytest
import xarray as xr
from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.repository import splitting as splitting
from vzarr.sources.schemes import Access


def write_step(path: Path, number: int) -> str:
    """A file of one step: ``few`` has one chunk, each ``many`` four."""
    chunks = {"few": (1, 8), "many": (1, 2), "many_too": (1, 2), "many_more": (1, 2)}
    values = np.arange(8.0).reshape(1, 8) + number
    dataset = xr.Dataset({name: (("time", "x"), values) for name in chunks}, {"time": [number]})
    encoding = {name: {"chunksizes": shape} for name, shape in chunks.items()}
    dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding, unlimited_dims=["time"])
    return str(path)


def test_each_array_is_cut_by_its_own_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four references: four steps of ``few``, one of the others; ``time`` is one chunk, and so is
    the list of sources."""
    monkeypatch.setattr(splitting, "MANIFEST_REFERENCES", 4)
    first, *others = [write_step(tmp_path / f"{number}.nc", number) for number in range(8)]
    location = str(tmp_path / "repo")
    build([first], location, Access(), concat_dim="time")
    append(others, location, Access())
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(location))
    manifests = repository.list_manifest_files(repository.lookup_branch("main"))
    counts = sorted(file.num_chunk_refs for file in manifests)
    assert counts == [1, 1, *[4] * (2 + 3 * 8)]
