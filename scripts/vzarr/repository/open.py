"""Icechunk repositories, opened with access to what the user named."""

from __future__ import annotations

import icechunk

from vzarr.errors import InputError, raise_fault
from vzarr.formats.registry import register_codecs
from vzarr.repository.claim import BUILDING
from vzarr.repository.handle import config_for, settings_for
from vzarr.repository.history import Held, read_held
from vzarr.sources.schemes import Access, repository_storage
from vzarr.sources.trust import authorization, naming

ONE_REQUEST_A_CHUNK = icechunk.StorageConcurrencySettings(
    ideal_concurrent_request_size=12 * 1024**2
)
"""Icechunk 2.3 reads virtual chunks as the repository's own storage asks for, and on a local disk
that is in parts of 4 kB, five at a time: five requests for each chunk of a remote file."""


def open_any_repository(location: str, access: Access) -> icechunk.Repository:
    """A repository with access to all its containers.

    Raises
    ------
    InputError
        If there is none, or if a container leads to what the user did not name.
    """
    config = find_config(location, access)
    keys = authorization(config, location, access)
    register_codecs()
    storage = repository_storage(location, access)
    # With the configuration that was looked at: a server could answer otherwise the next time.
    return icechunk.Repository.open(
        storage, config_for(location, access, config), authorize_virtual_chunk_access=keys
    )


def find_repository_of_others(location: str, access: Access) -> icechunk.Repository | None:
    """A repository on whose main there is no commit of this tool, and none of a build; else None.

    Raises
    ------
    InputError
        If there is no repository.
    """
    repository = open_any_repository(location, access)
    session = repository.readonly_session("main")
    is_known = read_held(repository, session, location, access) is not None
    return None if is_known or BUILDING in repository.list_branches() else repository


def open_untrusted(location: str, access: Access) -> icechunk.Repository:
    """Any repository, without access to its containers: what lies in it is read, nothing else.

    Raises
    ------
    InputError
        If there is none.
    """
    access = naming(access, location=location)
    config = find_config(location, access)
    register_codecs()
    storage = repository_storage(location, access)
    return icechunk.Repository.open(storage, config_for(location, access, config))


def find_config(location: str, access: Access) -> icechunk.RepositoryConfig | None:
    """What a repository says of itself.

    Raises
    ------
    InputError
        If there is none.
    """
    storage = repository_storage(location, access)
    try:
        # First: it waits no longer than the user does, and the next call takes no settings.
        exists = icechunk.Repository.exists(storage, settings_for(location, access))
        config = icechunk.Repository.fetch_config(storage) if exists else None
    except icechunk.IcechunkError as error:
        raise_fault(location, error)
        first = str(error).splitlines()[0]
        raise InputError(f"{location}: no Icechunk repository can be opened: {first}") from error
    if not exists:
        raise InputError(f"{location}: no Icechunk repository is here.")
    return config


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
    account = read_held(repository, session, location, access)
    if account is not None:
        return repository, session, account
    if BUILDING in repository.list_branches():
        raise InputError(
            f"{location}: its build was stopped before its end: run the same build command again."
        )
    raise InputError(
        f"{location}: no commit of this tool is on main, so its sources are unknown. "
        "Name them: verify --source FILES."
    )
