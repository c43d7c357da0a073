"""Stores as their users open them."""

from __future__ import annotations

from pathlib import Path

import icechunk
import xarray as xr


def opened(repository: Path) -> dict[str, xr.Dataset]:
    """All groups of a store, as a user opens them."""
    prefix = f"file://{repository.parent}/"
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(repository))
    config = icechunk.Repository.fetch_config(storage)
    repo = icechunk.Repository.open(storage, config, authorize_virtual_chunk_access=access)
    store = repo.readonly_session("main").store
    tree = xr.open_datatree(store, engine="zarr", consolidated=False, decode_timedelta=False)
    groups = {node.path.strip("/"): node.to_dataset() for node in tree.subtree if node.has_data}
    return {path: found for path, found in groups.items() if not path.startswith("_")}
