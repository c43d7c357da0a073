"""What repositories hold, to be compared."""

from __future__ import annotations

from pathlib import Path

import icechunk
import xarray as xr
from vzarr.repository.ledger import read_ledger
from vzarr.repository.references import array_paths, read_references


def opened(repository: Path, data: Path) -> icechunk.Repository:
    access = {f"file://{data}/": icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(repository))
    return icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)


def content(repository: Path, data: Path) -> dict[str, object]:
    """All that a repository holds: each reference, each value, what commits say of sources."""
    repo = opened(repository, data)
    session = repo.readonly_session("main")
    references = {
        path: [
            (batch.index.tolist(), batch.urls, batch.offsets.tolist(), batch.lengths.tolist())
            for batch in read_references(session.store, path)
        ]
        for path in array_paths(session.store)
    }
    snapshots = list(repo.ancestry(branch="main"))
    sources = read_ledger(session.store)["sources"]
    with xr.open_zarr(session.store, consolidated=False) as dataset:
        values = dataset.load().to_dict()
    return {
        "references": references,
        "values": values,
        "sources": sources,
        "messages": [snapshot.message for snapshot in snapshots],
        "branches": repo.list_branches(),
    }
