"""Icechunk repositories: made for a build, found unfinished, opened."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import icechunk
import obstore
import xarray as xr

from vzarr.combine.mixed_array import MixedArray, count_references, empty_array
from vzarr.errors import InputError
from vzarr.repository.claim import BUILDING, MARKER, Claim
from vzarr.repository.handle import TRIES, config_for, settings_for
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.mixed_arrays import place
from vzarr.repository.objects import stored_objects
from vzarr.repository.open import ONE_REQUEST_A_CHUNK, find_config, open_any_repository
from vzarr.sources.schemes import Access, as_url, repository_storage, repository_store, scheme_of
from vzarr.sources.trust import authorization
from vzarr.text import option
from vzarr.virtualize.model import is_virtual

LAYOUT = re.compile(
    r"(repo|config\.yaml|(snapshots|transactions|manifests|chunks|attributes|overwritten)/.+)(#\d+)?"
)
"""Names that Icechunk gives; with a number while a file is being written."""


DISCARDED = "virtual_zarr_discarded"
"""Key of the metadata of a commit on main after which no build can publish any more."""


@dataclass(frozen=True)
class Unfinished:
    """A repository that a build began and did not end. ``tip`` is where its branch stands."""

    repository: icechunk.Repository
    tip: str
    is_complete: bool


@dataclass(frozen=True)
class Place:
    """What lies where a repository is asked for. ``names`` of objects without the marker's."""

    names: set[str]
    has_marker: bool
    unfinished: Unfinished | None = None


@contextmanager
def claimed(location: str, access: Access, progress: Callable[[int, int], None]) -> Iterator[Claim]:
    """Have a place for a build, alone. Afterwards nothing is there, or all of it, or what the same
    command can go on with.

    Raises
    ------
    InputError
        If anything else is there, or another build is at work.
    """
    with exclusive_lock(location) as is_locked:
        claim = _take(location, access, is_locked, progress)
        try:
            yield claim
        except BaseException as error:
            # Why it failed is what the user has to know; what is left can be gone on with.
            with suppress(Exception):
                _leave(claim, access)
            if claim.is_lost and isinstance(error, Exception):
                claim.check()
            if isinstance(error, icechunk.RefNotFoundError):  # the build there has just ended
                raise _taken(location) from error
            raise


def _leave(claim: Claim, access: Access) -> None:
    if claim.is_released:
        return
    if claim.was_vacant and claim.keeps and _is_begun(claim.location, access):
        claim.stop()
        return
    try:
        if claim.was_vacant and not claim.keeps:
            discard(claim, access)
        claim.release()
    except Exception:
        claim.stop()  # the next run need not wait for a sign of life
        raise


def _take(
    location: str, access: Access, is_locked: bool, progress: Callable[[int, int], None]
) -> Claim:
    while True:
        place = look(location, access)
        claim = Claim(location, access, is_locked)
        if not claim.take(not place.names, progress):
            continue
        claim.keeps = bool(place.names)
        if place.has_marker:
            return claim
        try:
            # Where no marker was, others may have begun, or ended, in between.
            if _is_begun(location, access) and look(location, access).names == place.names:
                return claim
        except BaseException:
            with suppress(Exception):  # or it would look alive for as long as this process lives
                claim.stop()
            raise
        claim.release()


def _is_begun(location: str, access: Access) -> bool:
    try:
        look(location, access)
    except InputError:
        return False
    return True


def look(location: str, access: Access) -> Place:
    """What is at a path or URL, if a build can begin or go on there.

    Raises
    ------
    InputError
        If anything is there that no build has left.
    """
    object_names = _objects(location, access)
    names, has_marker = object_names - {MARKER, f"{MARKER}#1"}, MARKER in object_names
    if "repo" not in names:
        if names and not has_marker:
            settings = settings_for(location, access)
            if icechunk.Repository.exists(repository_storage(location, access), settings):
                raise _taken(location)  # of Icechunk 1, which had no such object
            raise InputError(
                f"{location}: something is there already, and no repository "
                f"({min(names) or 'a file'}). Name a new place with --repo, or empty this one."
            )
        return Place(names, has_marker)
    config = find_config(location, access)
    storage = repository_storage(location, access)
    repository = icechunk.Repository.open(storage, config_for(location, access, config))
    shown = list(repository.ancestry(branch="main"))
    if not _is_discarded(shown[0]) and BUILDING in repository.list_branches():
        try:
            tip = repository.lookup_branch(BUILDING)
        except icechunk.RefNotFoundError:  # its build has ended in between
            return look(location, access)
        if len(shown) == 1 or shown[0].id == tip:
            unfinished = Unfinished(repository, tip, is_complete=len(shown) > 1)
            return Place(names, has_marker, unfinished)
    if not has_marker or not (len(shown) == 1 or _is_discarded(shown[0])):
        raise _taken(location)
    return Place(names, has_marker)


def _taken(location: str) -> InputError:
    there = option("--repo", location)
    return InputError(
        f"{location}: something is there already. Name a new place with --repo; to put more files "
        f"into the repository that is there: virtual_zarr.py append FILE {there}; to "
        f"check it: virtual_zarr.py verify {there}"
    )


def _is_discarded(snapshot: icechunk.SnapshotInfo) -> bool:
    return DISCARDED in snapshot.metadata


def _objects(location: str, access: Access) -> set[str]:
    """Names below a location."""
    return set(stored_objects(location, access))


def create_repository(
    claim: Claim,
    prefixes: list[str],
    access: Access,
    manifest: icechunk.ManifestConfig | None,
) -> icechunk.Repository:
    """A new repository with containers for ``prefixes``, and the branch that a build writes to.

    Raises
    ------
    InputError
        If somebody else has just made one there.
    """
    claim.check()
    config = icechunk.RepositoryConfig.default()
    config.manifest = manifest
    config.storage = icechunk.StorageSettings(
        concurrency=ONE_REQUEST_A_CHUNK, retries=icechunk.StorageRetriesSettings(max_tries=TRIES)
    )
    for prefix in prefixes:
        store = scheme_of(prefix).container_store(prefix, access)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    keys = authorization(config, claim.location, access, prefixes)
    try:
        repository = icechunk.Repository.create(
            repository_storage(claim.location, access),
            config=config,
            authorize_virtual_chunk_access=keys,
            check_clean_root=False,  # the marker is there
        )
    except icechunk.ConflictError as error:
        claim.disown()
        raise _taken(claim.location) from error
    config = config_for(claim.location, access, repository.config)
    repository = repository.reopen(config=config, authorize_virtual_chunk_access=keys)
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
            mixed = {
                str(name): variable.data
                for name, variable in dataset.variables.items()
                if is_virtual(variable) and isinstance(variable.data, MixedArray)
            }
            regular = dataset.assign(
                {
                    name: xr.Variable(
                        dataset[name].dims, empty_array(array.metadata), dataset[name].attrs
                    )
                    for name, array in mixed.items()
                }
            )
            regular.vz.to_icechunk(
                store, group=group or None, mode="a", last_updated_at=last_updated_at
            )
            for name, array in mixed.items():
                place(store, f"{group}/{name}".lstrip("/"), array, last_updated_at)
    every = (variable for dataset in datasets.values() for variable in dataset.variables.values())
    return sum(count_references(variable.data) for variable in every if is_virtual(variable))


def finish(repository: icechunk.Repository, tip: str, claim: Claim) -> None:
    """Let main show what was built, and remove the marker and the build's branch.

    Raises
    ------
    InputError
        If another build was faster.
    """
    if repository.lookup_branch("main") != tip:
        claim.check()
        begin = list(repository.ancestry(branch="main"))
        if len(begin) > 1:
            raise _taken(claim.location)
        try:
            repository.reset_branch("main", tip, from_snapshot_id=begin[0].id)
        except icechunk.ConflictError as error:
            raise _taken(claim.location) from error
    with suppress(Exception):  # main shows all of it, whatever becomes of the marker
        claim.release()
    with suppress(icechunk.RefNotFoundError):
        repository.delete_branch(BUILDING)


def discard(claim: Claim, access: Access) -> None:
    """Delete what builds have put at a place, which is this run's; not its marker.

    Raises
    ------
    InputError
        If main shows something, or something is there that no build has put.
    """
    claim.check()
    place = look(claim.location, access)
    if not claim.was_vacant:
        raise _taken(claim.location)
    if "repo" in place.names:
        repository = open_any_repository(claim.location, access)
        session = repository.writable_session("main")
        shown = list(repository.ancestry(snapshot_id=session.snapshot_id))
        if not (len(shown) == 1 or _is_discarded(shown[0])):
            raise _taken(claim.location)
        if not claim.is_locked:
            # A build that only seemed dead may be about to publish: after this commit it cannot.
            try:
                session.commit("discarded", metadata={DISCARDED: True}, allow_empty=True)
            except icechunk.ConflictError as error:
                raise _taken(claim.location) from error
            place = look(claim.location, access)
    claim.check()
    _delete(claim.location, access, {name for name in place.names if LAYOUT.fullmatch(name)})
    claim.keeps = False


def _delete(location: str, access: Access, names: set[str]) -> None:
    url = as_url(location)
    if url.startswith("file://"):
        folder = Path(url.removeprefix("file://"))
        for name in names:
            (folder / name).unlink(missing_ok=True)
        rooms = {parent for name in names for parent in Path(name).parents} - {Path()}
        for prefix in sorted(rooms, reverse=True):
            with suppress(OSError):  # holds what no build has put there
                (folder / prefix).rmdir()
        return
    store, path = repository_store(url, access)
    if names:
        obstore.delete(store, [f"{path.rstrip('/')}/{name}" for name in sorted(names)])
