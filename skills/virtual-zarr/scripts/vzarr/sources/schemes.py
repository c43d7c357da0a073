"""Where URLs lead: for each scheme the stores that parsing, writing and reading need.

A new cloud is a new entry in ``SCHEMES``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import urlsplit

import icechunk
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from vzarr.errors import InputError
from vzarr.paths import local_path
from vzarr.sources import token_services
from vzarr.sources.access import Access, Place
from vzarr.sources.profiles import icechunk_credentials, profile_credentials
from vzarr.sources.url_secrets import refuse_secrets, without_secrets

__all__ = [
    "SCHEMES",
    "Access",
    "Place",
    "Scheme",
    "as_url",
    "object_store",
    "refuse_secrets",
    "repository_storage",
    "repository_store",
    "root_of",
    "scheme_of",
    "without_secrets",
]


@dataclass(frozen=True)
class Scheme:
    """The four things a URL scheme needs.

    ``object_store(host, access)`` is obstore's, for listing and parsing; ``container_store(prefix,
    access)`` and ``credentials(prefix, access)`` are Icechunk's, for virtual chunks;
    ``repository(host, path, access)`` is the storage of a repository, with its own access.
    """

    object_store: Callable[[str, Access], Any]
    container_store: Callable[[str, Access], Any]
    credentials: Callable[[str, Access], Any]
    repository: Callable[[str, str, Access], icechunk.Storage]


def _opts(access: Access) -> dict[str, str] | None:
    """As ``_client``, for Icechunk's clouds other than S3; its retries are settings."""
    return {"timeout": f"{access.timeout:g}s"} if access.timeout else None


def _client(access: Access, **more: Any) -> dict[str, Any]:
    """Obstore's options for patience: how long, and how often, it asks a server."""
    client = {**more, **({"timeout": f"{access.timeout:g}s"} if access.timeout else {})}
    options: dict[str, Any] = {"client_options": client} if client else {}
    if access.retries is not None:
        options["retry_config"] = {"max_retries": access.retries}
    return options


def _s3_store(host: str, access: Access) -> S3Store:
    endpoint = access.s3_endpoint
    options: dict[str, Any] = {"endpoint": endpoint} if endpoint else {}
    options |= _client(access, **({"allow_http": True} if _is_plain_http(endpoint) else {}))
    if access.auth is not None and access.takes_aws_keys:
        # Named, so that no variable of the environment leads the keys elsewhere.
        options["endpoint"] = f"https://s3.{access.aws_region}.amazonaws.com"
        options["credential_provider"] = token_services.s3_provider(access.auth)
    elif not access.anonymous and (keys := profile_credentials(access.profile)) is not None:
        options["credential_provider"] = keys
    return S3Store(host, region=access.aws_region, skip_signature=access.anonymous, **options)


def _s3_container(prefix: str, access: Access) -> Any:
    if (os.environ.get("AWS_REQUEST_PAYER") or "false").lower() not in ("false", "0"):
        raise InputError(
            f"{prefix}: AWS_REQUEST_PAYER says that the reader pays there, and Icechunk 2.3 does "
            "not say so when it reads virtual chunks: nobody could read the store. Copy the files "
            "to a bucket of yours."
        )
    return icechunk.s3_store(
        region=access.aws_region, anonymous=access.anonymous, **_s3_place(access.s3_endpoint)
    )


def _s3_credentials(prefix: str, access: Access) -> Any:
    if access.auth is not None and access.takes_aws_keys and access.s3_endpoint is None:
        return icechunk.Credentials.S3(token_services.s3_credentials(access.auth))
    keys = {"anonymous": True} if access.anonymous else icechunk_credentials(access.profile)
    return icechunk.Credentials.S3(icechunk.s3_credentials(**keys))


def _s3_repository(host: str, path: str, access: Access) -> icechunk.Storage:
    keys = {"anonymous": True} if access.anonymous else icechunk_credentials(access.profile)
    return icechunk.s3_storage(
        bucket=host,
        prefix=path.strip("/"),
        region=access.aws_region,
        **keys,
        **_s3_place(access.s3_endpoint),
        network_stream_timeout_seconds=ceil(access.timeout or 60),  # which is the default
    )


def _s3_place(endpoint: str | None) -> dict[str, Any]:
    """Icechunk's options for an S3-compatible server, whose bucket names are no host names."""
    if endpoint is None:
        return {}
    return {
        "endpoint_url": endpoint,
        "allow_http": _is_plain_http(endpoint),
        "force_path_style": True,
    }


def _is_plain_http(endpoint: str | None) -> bool:
    return (endpoint or "").lower().startswith("http://")


def _azure_store(host: str, access: Access) -> AzureStore:
    options = _client(access)
    if access.takes_signatures:
        options["credential_provider"] = token_services.azure_provider(access.azure_account, host)
    return AzureStore(
        host, account_name=access.azure_account, skip_signature=access.anonymous, **options
    )


def _azure_credentials(prefix: str, access: Access) -> Any:
    if access.takes_signatures:
        container = prefix.partition("://")[2].partition("/")[0]
        return icechunk.Credentials.Azure(
            token_services.azure_credentials(access.azure_account, container)
        )
    return icechunk.Credentials.Azure(
        icechunk.azure_credentials(  # type: ignore[arg-type]  # icechunk 2.3 types them apart
            anonymous=access.anonymous, from_env=not access.anonymous
        )
    )


def _no_repository(host: str, path: str, access: Access) -> icechunk.Storage:
    raise InputError(f"https://{host}{path}: a repository on HTTPS cannot be written or verified.")


SCHEMES: dict[str, Scheme] = {
    "file": Scheme(
        object_store=lambda host, access: LocalStore(),
        container_store=lambda prefix, access: icechunk.local_filesystem_store(prefix),
        credentials=lambda prefix, access: icechunk.credentials.LocalFileSystemAccess,
        repository=lambda host, path, access: icechunk.local_filesystem_storage(path),
    ),
    "s3": Scheme(
        object_store=_s3_store,
        container_store=_s3_container,
        credentials=_s3_credentials,
        repository=_s3_repository,
    ),
    "gs": Scheme(
        object_store=lambda host, access: GCSStore(
            host, skip_signature=access.anonymous, **_client(access)
        ),
        container_store=lambda prefix, access: icechunk.gcs_store(),
        credentials=lambda prefix, access: icechunk.Credentials.Gcs(
            icechunk.gcs_credentials(  # type: ignore[arg-type]  # icechunk 2.3 types them apart
                anonymous=access.anonymous, from_env=not access.anonymous
            )
        ),
        repository=lambda host, path, access: icechunk.gcs_storage(
            bucket=host,
            prefix=path.strip("/"),
            anonymous=access.anonymous,
            from_env=not access.anonymous,
            config=_opts(access),
        ),
    ),
    "az": Scheme(
        object_store=_azure_store,
        container_store=lambda prefix, access: icechunk.storage.azure_store(
            account=access.azure_account
        ),
        credentials=_azure_credentials,
        repository=lambda host, path, access: icechunk.azure_storage(
            account=access.azure_account,
            container=host,
            prefix=path.strip("/"),
            anonymous=access.anonymous,
            from_env=not access.anonymous,
            config=_opts(access),
        ),
    ),
    "https": Scheme(
        object_store=lambda host, access: HTTPStore.from_url(f"https://{host}", **_client(access)),
        container_store=lambda prefix, access: icechunk.http_store(),
        credentials=lambda prefix, access: icechunk.credentials.HttpAccess,
        repository=_no_repository,
    ),
}


def as_url(location: str) -> str:
    """A URL with a scheme for a path or URL.

    Raises
    ------
    InputError
        For a scheme that is not in ``SCHEMES``, and for a URL that holds a password or a token.
    """
    if "://" not in location or location.startswith("file://"):
        return f"file://{local_path(location)}"
    scheme, _, rest = location.partition("://")
    scheme = {"abfs": "az", "azure": "az"}.get(scheme, scheme)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in sorted(SCHEMES))
        shown = without_secrets(location)
        raise InputError(f"{shown}: {scheme}:// is not supported; use a path or {known}.")
    refuse_secrets(location)
    return f"{scheme}://{rest}"


def root_of(url: str) -> str:
    """Scheme and host of a URL: the key under which a registry holds its store."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def scheme_of(url: str) -> Scheme:
    """What the scheme of a URL needs.

    Raises
    ------
    KeyError
        For one that ``as_url`` refuses.
    """
    return SCHEMES[url.partition("://")[0]]


def object_store(url: str, access: Access) -> tuple[Any, str]:
    """The obstore store for a URL, and the object's path in it.

    Raises
    ------
    InputError
        If the store lacks what no URL says: the account of Azure, the URL of a server.
    """
    root = root_of(url)
    host = root.partition("://")[2]
    return scheme_of(url).object_store(host, access.at(url)), url.removeprefix(root).lstrip("/")


def repository_store(location: str, access: Access) -> tuple[Any, str]:
    """As ``object_store``, for a repository: with its own endpoint, and keys."""
    return object_store(location, access.of_repository)


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
    return scheme_of(url).repository(root.partition("://")[2], path, access.of_repository)
