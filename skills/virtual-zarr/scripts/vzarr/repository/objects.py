"""The objects that lie at a place, as files of a folder or as keys of an object store."""

from __future__ import annotations

from pathlib import Path

import obstore

from vzarr.sources.schemes import Access, as_url, repository_storage, repository_store


def stored_objects(location: str, access: Access) -> dict[str, int]:
    """Names below a location, with their bytes. A file instead of a folder has an empty name."""
    url = as_url(location)
    repository_storage(location, access)
    store, path = repository_store(url, access)
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        if folder.exists() and not folder.is_dir():
            return {"": folder.stat().st_size}
        return {
            str(item.relative_to(folder)): item.lstat().st_size
            for item in folder.rglob("*")
            if not item.is_dir()
        }
    prefix = path.rstrip("/") + "/"
    objects = obstore.list(store, prefix).collect()
    return {meta["path"].removeprefix(prefix): meta["size"] for meta in objects}


def stored_bytes(location: str, access: Access) -> int:
    """Bytes of all objects below a location."""
    return sum(stored_objects(location, access).values())
