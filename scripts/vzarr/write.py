"""A virtual dataset to a new Icechunk repository: one commit, checked before it is made."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import icechunk
import obstore
import xarray as xr

from vzarr import formats
from vzarr.errors import InputError
from vzarr.history import METADATA_KEY, read_history
from vzarr.storage import (
    Access,
    as_url,
    authorization,
    container_prefixes,
    object_store,
    repository_storage,
    scheme_of,
)


def check_vacant(location: str, access: Access) -> None:
    """Make sure that a repository can be created at a path or URL.

    Raises
    ------
    InputError
        If anything is there already.
    """
    url = as_url(location)
    repository_storage(location, access)
    store, path = object_store(url, access)
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    else:
        taken = any(True for _ in obstore.list(store, path.rstrip("/") + "/", chunk_size=1))
    if taken:
        raise InputError(
            f"{location}: something is there already. Name a new place with --repo, or check the "
            f"repository that is there with: virtual_zarr.py verify --repo {location}"
        )


def write_repository(
    datasets: dict[str, xr.Dataset],
    location: str,
    source_urls: list[str],
    access: Access,
    *,
    message: str,
    metadata: dict[str, Any],
    last_updated_at: datetime,
    before_commit: Callable[[icechunk.IcechunkStore], None] = lambda store: None,
) -> str:
    """Create the repository with its containers, write and commit. Returns the snapshot's id.

    ``datasets`` by group, the root under an empty string.
    ``last_updated_at`` has a zone; every reader then notices a source that changed after it.
    ``before_commit`` may look at the written store and raise.
    Whatever fails, nothing is left at ``location``.
    """
    check_vacant(location, access)
    prefixes = container_prefixes(source_urls)
    config = icechunk.RepositoryConfig.default()
    for prefix in prefixes:
        store = scheme_of(prefix).container_store(prefix, access)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    try:
        repository = icechunk.Repository.create(
            repository_storage(location, access),
            config=config,
            authorize_virtual_chunk_access=authorization(prefixes, access),
        )
        session = repository.writable_session("main")
        with warnings.catch_warnings():
            # Said better elsewhere: what is native, and why; how strings and times are stored.
            warnings.simplefilter("ignore")
            for group, dataset in datasets.items():
                dataset.vz.to_icechunk(
                    session.store, group=group or None, mode="a", last_updated_at=last_updated_at
                )
        before_commit(session.store)
        return session.commit(message, metadata={METADATA_KEY: metadata})
    except BaseException:
        _remove(location, access)
        raise


def _remove(location: str, access: Access) -> None:
    """Delete what was created at a place that was vacant before."""
    url = as_url(location)
    if url.startswith("file://"):
        shutil.rmtree(url.removeprefix("file://"), ignore_errors=True)
        return
    with suppress(Exception):  # the error that led here matters more
        store, path = object_store(url, access)
        listed = obstore.list(store, path.rstrip("/") + "/").collect()
        obstore.delete(store, [meta["path"] for meta in listed])


def open_any_repository(location: str, access: Access) -> icechunk.Repository:
    """A repository with access to all its containers.

    Raises
    ------
    InputError
        If there is none.
    """
    storage = repository_storage(location, access)
    try:
        config = icechunk.Repository.fetch_config(storage)
    except icechunk.IcechunkError as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{location}: no Icechunk repository can be opened: {first}") from error
    if not icechunk.Repository.exists(storage):
        raise InputError(f"{location}: no Icechunk repository is here.")
    prefixes = list((config and config.virtual_chunk_containers) or {})
    formats.register_codecs()
    return icechunk.Repository.open(
        storage, authorize_virtual_chunk_access=authorization(prefixes, access)
    )


def open_repository(
    location: str, access: Access
) -> tuple[icechunk.Repository, dict[str, Any], str]:
    """A repository made by this tool, the metadata of all its sources, and the snapshot's id.

    Raises
    ------
    InputError
        If there is no repository, or none that this tool built.
    """
    repository = open_any_repository(location, access)
    found = read_history(repository.ancestry(branch="main"), location)
    if found is not None:
        return repository, *found
    raise InputError(
        f"{location}: no commit of this tool is on main, so its sources are unknown. "
        "Name them: verify --source FILES."
    )
