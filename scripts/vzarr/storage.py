"""Where URLs lead: for each scheme the stores that parsing, writing and reading need.

A new cloud is a new entry in ``SCHEMES``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import icechunk
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from vzarr.errors import InputError
from vzarr.paths import local_path


@dataclass(frozen=True)
class Access:
    """How to reach remote objects: the role or keys of the environment, unless ``anonymous``.

    ``moved``: what Kerchunk references begin with, and where that is now.
    """

    anonymous: bool = False
    region: str | None = None
    account: str | None = None
    moved: tuple[str, str] | None = None

    @property
    def aws_region(self) -> str:
        """``region``, else what the environment says, else us-east-1."""
        variables = ("AWS_REGION", "AWS_DEFAULT_REGION")
        found = [os.environ[name] for name in variables if os.environ.get(name)]
        return self.region or (found or ["us-east-1"])[0]

    @property
    def azure_account(self) -> str:
        """``account``, else what the environment says.

        Raises
        ------
        InputError
            If neither names it: the account is no part of an ``az://`` URL.
        """
        account = self.account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        if not account:
            raise InputError("az:// needs --account, or AZURE_STORAGE_ACCOUNT_NAME to be set.")
        return account


@dataclass(frozen=True)
class Scheme:
    """The four things a URL scheme needs.

    ``object_store(host, access)`` is obstore's, for listing and parsing; ``container_store(prefix,
    access)`` and ``credentials(access)`` are Icechunk's, for virtual chunks;
    ``repository(host, path, access)`` is the storage of a repository.
    """

    object_store: Callable[[str, Access], Any]
    container_store: Callable[[str, Access], Any]
    credentials: Callable[[Access], Any]
    repository: Callable[[str, str, Access], icechunk.Storage]


def _anonymous_or_environment(access: Access) -> dict[str, bool]:
    return {"anonymous": True} if access.anonymous else {"from_env": True}


def _no_repository(host: str, path: str, access: Access) -> icechunk.Storage:
    raise InputError(f"https://{host}{path}: a repository on HTTPS cannot be written or verified.")


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(
        object_store=lambda host, access: LocalStore(),
        container_store=lambda prefix, access: icechunk.local_filesystem_store(prefix),
        credentials=lambda access: icechunk.credentials.LocalFileSystemAccess,
        repository=lambda host, path, access: icechunk.local_filesystem_storage(path),
    ),
    "s3": Scheme(
        object_store=lambda host, access: S3Store(
            host, region=access.aws_region, skip_signature=access.anonymous
        ),
        container_store=lambda prefix, access: icechunk.s3_store(
            region=access.aws_region, anonymous=access.anonymous
        ),
        credentials=lambda access: icechunk.Credentials.S3(
            icechunk.s3_credentials(**_anonymous_or_environment(access))
        ),
        repository=lambda host, path, access: icechunk.s3_storage(
            bucket=host, prefix=path.strip("/"), region=access.aws_region, from_env=True
        ),
    ),
    "gs": Scheme(
        object_store=lambda host, access: GCSStore(host, skip_signature=access.anonymous),
        container_store=lambda prefix, access: icechunk.gcs_store(),
        credentials=lambda access: icechunk.Credentials.Gcs(
            icechunk.gcs_credentials(**_anonymous_or_environment(access))
        ),
        repository=lambda host, path, access: icechunk.gcs_storage(
            bucket=host, prefix=path.strip("/"), from_env=True
        ),
    ),
    "az": Scheme(
        object_store=lambda host, access: AzureStore(
            host, account_name=access.azure_account, skip_signature=access.anonymous
        ),
        container_store=lambda prefix, access: icechunk.storage.azure_store(
            account=access.azure_account
        ),
        credentials=lambda access: icechunk.Credentials.Azure(
            icechunk.azure_credentials(**_anonymous_or_environment(access))
        ),
        repository=lambda host, path, access: icechunk.azure_storage(
            account=access.azure_account, container=host, prefix=path.strip("/"), from_env=True
        ),
    ),
    "https": Scheme(
        object_store=lambda host, access: HTTPStore.from_url(f"https://{host}"),
        container_store=lambda prefix, access: icechunk.http_store(),
        credentials=lambda access: icechunk.credentials.HttpAccess,
        repository=_no_repository,
    ),
}


def as_url(location: str) -> str:
    """A URL with a scheme for a path or URL.

    Raises
    ------
    InputError
        For a scheme that is not in ``SCHEMES``.
    """
    if "://" not in location or location.startswith("file://"):
        return f"file://{local_path(location)}"
    scheme, _, rest = location.partition("://")
    if scheme in ("abfs", "azure"):
        return f"az://{rest}"
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
        raise InputError(f"{location}: {scheme}:// is not supported; use a path or {known}.")
    return location


def root_of(url: str) -> str:
    """Scheme and host of a URL: the key under which a registry holds its store."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def scheme_of(url: str) -> Scheme:
    return SCHEMES[url.partition("://")[0]]


def object_store(url: str, access: Access) -> tuple[Any, str]:
    """The obstore store for a URL, and the object's path in it."""
    root = root_of(url)
    host = root.partition("://")[2]
    return scheme_of(url).object_store(host, access), url.removeprefix(root).lstrip("/")


def repository_storage(location: str, access: Access) -> icechunk.Storage:
    """Icechunk's storage for a path or URL.

    Raises
    ------
    InputError
        For a URL without a path below the bucket: Icechunk refuses an empty prefix.
    """
    url = as_url(location)
    root = root_of(url)
    path = url.removeprefix(root)
    if not path.strip("/"):
        raise InputError(f"{location}: name a prefix below the bucket, as in {root}/my-store.")
    return scheme_of(url).repository(root.partition("://")[2], path, access)


def authorization(prefixes: list[str], access: Access) -> dict[str, Any]:
    """What ``Repository.open(authorize_virtual_chunk_access=)`` takes for these containers."""
    return {prefix: scheme_of(prefix).credentials(access) for prefix in prefixes}
