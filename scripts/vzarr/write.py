"""Icechunk repositories: made for a build, found unfinished, opened."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import icechunk
import obstore
import xarray as xr

from vzarr import formats
from vzarr.errors import InputError
from vzarr.history import Held, read_held
from vzarr.storage import (
    Access,
    as_url,
    authorization,
    object_store,
    repository_storage,
    scheme_of,
)

HAS_LOCKS = importlib.util.find_spec("fcntl") is not None
"""Windows has none."""
BUILDING = "virtual-zarr-build"
"""Branch of a repository whose build has not ended; until then nothing is on main."""
ONE_REQUEST_A_CHUNK = icechunk.StorageConcurrencySettings(
    ideal_concurrent_request_size=12 * 1024**2
)
"""Icechunk 2.3 reads virtual chunks as the repository's own storage asks for, and on a local disk
that is in parts of 4 kB, five at a time: five requests for each chunk of a remote file."""
FIRST_OBJECTS = re.compile(
    r"(snapshots|transactions)/1CECHNKREP0F1RSTCMT0|repo|config\.yaml|overwritten/[^/]*"
)
"""What Icechunk writes for a repository without a commit."""


@dataclass(frozen=True)
class Unfinished:
    """A repository that a build began and did not end. ``tip`` is where its branch stands."""

    repository: icechunk.Repository
    tip: str
    is_complete: bool


def find_unfinished(location: str, access: Access) -> Unfinished | None:
    """What a build that was stopped has left at a path or URL; None where nothing is.

    Remains without any data are removed.

    Raises
    ------
    InputError
        If anything else is there.
    """
    names = _objects(location, access)
    if not names:
        return None
    if "repo" in names:
        repository = open_any_repository(location, access)
        first = [snapshot.id for snapshot in repository.ancestry(branch="main")]
        if BUILDING in repository.list_branches():
            tip = repository.lookup_branch(BUILDING)
            if len(first) == 1 or first[0] == tip:
                return Unfinished(repository, tip, is_complete=len(first) > 1)
    if all(FIRST_OBJECTS.fullmatch(name) for name in names) and _is_begun(location, access):
        remove(location, access)
        return None
    raise InputError(
        f"{location}: something is there already. Name a new place with --repo; to put more files "
        f"into the repository that is there: virtual_zarr.py append FILE --repo {location}; to "
        f"check it: virtual_zarr.py verify --repo {location}"
    )


def _objects(location: str, access: Access) -> set[str]:
    """Names below a location."""
    url = as_url(location)
    repository_storage(location, access)
    store, path = object_store(url, access)
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        if folder.exists() and not folder.is_dir():
            return {""}
        return {str(item.relative_to(folder)) for item in folder.rglob("*") if not item.is_dir()}
    prefix = path.rstrip("/") + "/"
    return {meta["path"].removeprefix(prefix) for meta in obstore.list(store, prefix).collect()}


def _is_begun(location: str, access: Access) -> bool:
    """Whether a place holds no more than the first steps of a build: no commit, but containers."""
    storage = repository_storage(location, access)
    if not icechunk.Repository.exists(storage):
        return True
    repository = icechunk.Repository.open(storage)
    has_commits = len(list(repository.ancestry(branch="main"))) > 1
    return not has_commits and bool(repository.config.virtual_chunk_containers)


def create_repository(
    location: str,
    prefixes: list[str],
    access: Access,
    manifest: icechunk.ManifestConfig | None,
) -> icechunk.Repository:
    """A new repository with containers for ``prefixes``, and the branch that a build writes to."""
    config = icechunk.RepositoryConfig.default()
    config.manifest = manifest
    config.storage = icechunk.StorageSettings(concurrency=ONE_REQUEST_A_CHUNK)
    for prefix in prefixes:
        store = scheme_of(prefix).container_store(prefix, access)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    repository = icechunk.Repository.create(
        repository_storage(location, access),
        config=config,
        authorize_virtual_chunk_access=authorization(prefixes, access),
    )
    repository.create_branch(BUILDING, repository.lookup_branch("main"))
    return repository


def write_datasets(
    store: icechunk.IcechunkStore, datasets: dict[str, xr.Dataset], last_updated_at: datetime
) -> int:
    """Write the first datasets, by group, the root under an empty string.

    ``last_updated_at`` has a zone; every reader then notices a source that changed after it.
    Returns the number of references.
    """
    with warnings.catch_warnings():
        # Said better elsewhere: what is native, and why; how strings and times are stored.
        warnings.simplefilter("ignore")
        for group, dataset in datasets.items():
            dataset.vz.to_icechunk(
                store, group=group or None, mode="a", last_updated_at=last_updated_at
            )
    return sum(int(dataset.vz.nrefs()) for dataset in datasets.values())


def finish(repository: icechunk.Repository, tip: str) -> None:
    """Let main show what was built, and remove the build's branch."""
    begin = repository.lookup_branch("main")
    if begin != tip:
        repository.reset_branch("main", tip, from_snapshot_id=begin)
    repository.delete_branch(BUILDING)


@contextmanager
def alone(location: str) -> Iterator[None]:
    """Wait until no other process of this machine writes to a local repository.

    Folders have no conditional writes, so two commits at once could both succeed. The lock is the
    folder itself, which is made for it and goes away if nothing was put into it.
    """
    url = as_url(location)
    folder = Path(url.removeprefix("file://"))
    if not url.startswith("file://") or not HAS_LOCKS or folder.is_file():
        yield
        return
    made = not folder.exists()
    handle = _lock(folder)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):  # holds a repository
                folder.rmdir()
        os.close(handle)


def _lock(folder: Path) -> int:
    import fcntl

    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:  # removed by another process in between
            continue
        fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == folder.stat().st_ino:
                return handle
        os.close(handle)


def remove(location: str, access: Access) -> None:
    """Delete what a build has put at a place that was vacant before it."""
    url = as_url(location)
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        for item in folder.iterdir() if folder.exists() else ():
            shutil.rmtree(item, ignore_errors=True) if item.is_dir() else item.unlink()
        return
    store, path = object_store(url, access)
    listed = obstore.list(store, path.rstrip("/") + "/").collect()
    if listed:
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
) -> tuple[icechunk.Repository, icechunk.Session, Held]:
    """A repository made by this tool, a session that shows main, and what it holds.

    Raises
    ------
    InputError
        If there is no repository, or none that this tool built.
    """
    repository = open_any_repository(location, access)
    session = repository.readonly_session("main")
    held = read_held(repository, session, location)
    if held is not None:
        return repository, session, held
    if BUILDING in repository.list_branches():
        raise InputError(
            f"{location}: its build was stopped before its end: run the same build command again."
        )
    raise InputError(
        f"{location}: no commit of this tool is on main, so its sources are unknown. "
        "Name them: verify --source FILES."
    )
