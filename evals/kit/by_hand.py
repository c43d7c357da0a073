"""Virtual stores made with VirtualiZarr alone: those that tasks begin with, and wrong solutions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("ICECHUNK_LOG", "error")

import icechunk
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

COMBINE = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
CLOCK = {"units": "seconds since 1970-01-01", "calendar": "standard", "dtype": "int64"}


def virtual(file: Path, parser: Any = None, **options: Any) -> xr.Dataset:
    """One local file's references."""
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    url = f"file://{file.absolute()}"
    return open_virtual_dataset(url, registry=registry, parser=parser or HDFParser(), **options)


def combined(files: Sequence[Path], record: str = "time", **options: Any) -> xr.Dataset:
    """Files one after another, as a careful user combines them if nothing is odd."""
    loaded = options.pop("loadable_variables", ["time", "time_bnds", "lat", "lon"])
    parser = options.pop("parser", None)
    parts = [virtual(file, parser, loadable_variables=loaded) for file in files]
    vds = xr.concat(parts, record, **{**COMBINE, "combine_attrs": "override", **options})
    for name in {record, f"{record}_bnds"} & set(vds.variables):
        if vds[name].dtype.kind == "M":
            vds[name].encoding = dict(CLOCK)
    return vds


def repository(path: Path, archive: Path, create: bool = False) -> icechunk.Repository:
    """A repository on disk, with access to the files of ``archive``."""
    prefix = f"file://{archive.absolute()}/"
    config = icechunk.RepositoryConfig.default()
    config.set_virtual_chunk_container(
        icechunk.VirtualChunkContainer(prefix, icechunk.local_filesystem_store(prefix))
    )
    storage = icechunk.local_filesystem_storage(str(path))
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    if create:
        return icechunk.Repository.create(storage, config, authorize_virtual_chunk_access=access)
    return icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)


def store(
    vds: xr.Dataset, path: Path, archive: Path, message: str = "build"
) -> icechunk.Repository:
    """A new repository with the dataset."""
    repo = repository(path, archive, create=True)
    write(repo, vds, message)
    return repo


def write(repo: icechunk.Repository, vds: xr.Dataset, message: str, **options: Any) -> str:
    """One commit; returns its snapshot."""
    session = repo.writable_session("main")
    vds.vz.to_icechunk(session.store, last_updated_at=datetime.now(UTC), **options)
    return session.commit(message)
