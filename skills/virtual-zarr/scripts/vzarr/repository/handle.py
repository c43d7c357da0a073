"""With which settings this user's handle of a repository asks its storage.

Icechunk 2.3 saves the settings of the storage on which a configuration was first saved. Those of a
local disk are wrong everywhere else: one try for a request, for virtual chunks in a cloud, too; and
writes without a condition, with which two writers undo each other's commits once the repository
lies in a bucket.
"""

from __future__ import annotations

import icechunk

from vzarr.sources.access import Access
from vzarr.sources.schemes import as_url, repository_storage

TRIES = 10
"""Of a request, where the user says nothing: Icechunk's own number for clouds."""


def settings_for(
    location: str, access: Access, stored: icechunk.StorageSettings | None = None
) -> icechunk.StorageSettings:
    """The settings that are ``stored``, with the user's patience, as the storage needs them.

    Clouds other than S3 take the time-out in their storage (``schemes.repository_storage``).
    """
    settings = stored or icechunk.StorageSettings()
    tries = settings.retries and settings.retries.max_tries
    if access.retries is not None or tries == 1:
        more = TRIES - 1 if access.retries is None else access.retries
        settings.retries = icechunk.StorageRetriesSettings(
            max_tries=more + 1, initial_backoff_ms=100, max_backoff_ms=180_000
        )
    if access.timeout is not None:
        most = round(access.timeout * 1000)
        settings.timeouts = icechunk.StorageTimeoutSettings(
            connect_timeout_ms=most, read_timeout_ms=most, operation_attempt_timeout_ms=most
        )
    if is_of_a_disk(settings) and not as_url(location).startswith("file://"):
        settings.unsafe_use_conditional_update = True
        settings.unsafe_use_metadata = True
    return settings


def is_of_a_disk(settings: icechunk.StorageSettings | None) -> bool:
    """Whether settings were saved on a local disk, where updates have no condition.

    A server that has no conditional writes is saved without any for new objects, either.
    """
    return (
        settings is not None
        and settings.unsafe_use_conditional_update is False
        and settings.unsafe_use_conditional_create is not False
    )


def config_for(
    location: str, access: Access, config: icechunk.RepositoryConfig | None
) -> icechunk.RepositoryConfig:
    """A repository's configuration as this user opens it."""
    config = config or icechunk.RepositoryConfig()
    config.storage = settings_for(location, access, config.storage)
    return config


def save_config(repository: icechunk.Repository, location: str, access: Access) -> None:
    """Save the containers of a handle, and no user's patience."""
    storage = repository_storage(location, access)
    stored = icechunk.Repository.fetch_config(storage)
    config = repository.config
    config.storage = settings_for(location, Access(), stored.storage if stored else None)
    # Opened, not reopened: that would bring the settings of the handle.
    icechunk.Repository.open(storage, config).save_config()
