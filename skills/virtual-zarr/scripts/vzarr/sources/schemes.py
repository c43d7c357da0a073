"""Where URLs lead: for each scheme the stores that parsing, writing and reading need.

A new cloud is a new entry in ``SCHEMES``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import icechunk
from obstore.store import AzureStore, GCSStore, HTTPStore, LocalStore, S3Store

from vzarr.errors import InputError
from vzarr.paths import local_path
from vzarr.sources.profiles import icechunk_credentials, profile_credentials


@dataclass(frozen=True)
class Place:
    """Where a container of a repository leads, and how its store reaches it.

    ``endpoint`` of an S3-compatible server, ``account`` of Azure; None for the cloud's own.
    """

    prefix: str
    endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    anonymous: bool = False


@dataclass(frozen=True)
class Access:
    """How to reach remote objects: the role or keys of the environment, unless ``anonymous``.

    ``moved``: what Kerchunk references begin with, and where that is now. ``endpoint``: the URL of
    an S3-compatible server, and ``repo_endpoint`` that of the repository if it lies on another.
    ``profile``: of ``~/.aws``, whose keys or assumed role are used. The fields ``repo_…`` are those
    of the repository where it lies elsewhere; ``repo_anonymous``: it is public, and only read.
    ``retries`` of a request for files, each of ``timeout`` seconds.
    ``trust``: folders, buckets or hosts beside those of the sources that may be read
    (``vzarr.sources.trust``). ``containers``: those of a repository, which say how to reach its
    sources where nothing else does. ``select``: which messages of GRIB files are read.
    """

    anonymous: bool = False
    region: str | None = None
    account: str | None = None
    moved: tuple[str, str] | None = None
    endpoint: str | None = None
    repo_endpoint: str | None = None
    trust: tuple[str, ...] = ()
    containers: tuple[Place, ...] = ()
    select: tuple[str, ...] = ()
    profile: str | None = None
    repo_region: str | None = None
    repo_account: str | None = None
    repo_profile: str | None = None
    repo_anonymous: bool = False
    retries: int | None = None
    timeout: float | None = None

    @property
    def of_repository(self) -> Access:
        """How the repository is reached: with keys, unless it is said to be public."""
        return replace(
            self,
            anonymous=self.repo_anonymous,
            region=self.repo_region or self.region,
            account=self.repo_account or self.account,
            endpoint=self.repository_endpoint,
            profile=self.repo_profile or self.profile,
            containers=(),
        )

    def at(self, url: str) -> Access:
        """This access with what the container of a URL says of it, where the user said nothing."""
        for place in self.containers:
            if url.startswith(place.prefix):
                return replace(
                    self,
                    anonymous=self.anonymous or place.anonymous,
                    region=self.region or place.region,
                    account=self.account or place.account,
                    endpoint=self.endpoint or place.endpoint,
                )
        return self

    @property
    def s3_endpoint(self) -> str | None:
        """``endpoint``, else what the environment says; None for AWS."""
        return _checked(self.endpoint or next(iter(_environment(*ENDPOINT_VARIABLES)), None))

    @property
    def repository_endpoint(self) -> str | None:
        """The endpoint of the repository; None for AWS."""
        return _checked(self.repo_endpoint) or self.s3_endpoint

    @property
    def endpoints(self) -> list[str]:
        """All endpoints that the user gave."""
        given = [self.endpoint, self.repo_endpoint, *_environment(*ENDPOINT_VARIABLES)]
        return [endpoint for endpoint in given if endpoint]

    @property
    def aws_region(self) -> str:
        """``region``, else what the environment says, else us-east-1."""
        given = _environment("AWS_REGION", "AWS_DEFAULT_REGION")
        return self.region or (given or ["us-east-1"])[0]

    @property
    def known_account(self) -> str | None:
        """``account``, else what the environment says, if anything."""
        return self.account or next(iter(_environment("AZURE_STORAGE_ACCOUNT_NAME")), None)

    @property
    def azure_account(self) -> str:
        """``account``, else what the environment says.

        Raises
        ------
        InputError
            If neither names it: the account is no part of an ``az://`` URL.
        """
        if not self.known_account:
            raise InputError("az:// needs --account, or AZURE_STORAGE_ACCOUNT_NAME to be set.")
        return self.known_account


ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def _checked(endpoint: str | None) -> str | None:
    if endpoint and not re.fullmatch("https?://[^/?#@]+(/[^?#@]*)?", endpoint):
        raise InputError(
            f"{without_secrets(endpoint)}: not the URL of a server, as https://minio.example.org."
        )
    return endpoint


def _environment(*names: str) -> list[str]:
    return [os.environ[name] for name in names if os.environ.get(name)]


@dataclass(frozen=True)
class Scheme:
    """The four things a URL scheme needs.

    ``object_store(host, access)`` is obstore's, for listing and parsing; ``container_store(prefix,
    access)`` and ``credentials(access)`` are Icechunk's, for virtual chunks;
    ``repository(host, path, access)`` is the storage of a repository, with its own access.
    """

    object_store: Callable[[str, Access], Any]
    container_store: Callable[[str, Access], Any]
    credentials: Callable[[Access], Any]
    repository: Callable[[str, str, Access], icechunk.Storage]


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
    if not access.anonymous and (keys := profile_credentials(access.profile)) is not None:
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


def _s3_credentials(access: Access) -> Any:
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
        credentials=lambda access: icechunk.Credentials.Gcs(
            icechunk.gcs_credentials(  # type: ignore[arg-type]  # icechunk 2.3 types them apart
                anonymous=access.anonymous, from_env=not access.anonymous
            )
        ),
        repository=lambda host, path, access: icechunk.gcs_storage(
            bucket=host,
            prefix=path.strip("/"),
            anonymous=access.anonymous,
            from_env=not access.anonymous,
        ),
    ),
    "az": Scheme(
        object_store=lambda host, access: AzureStore(
            host,
            account_name=access.azure_account,
            skip_signature=access.anonymous,
            **_client(access),
        ),
        container_store=lambda prefix, access: icechunk.storage.azure_store(
            account=access.azure_account
        ),
        credentials=lambda access: icechunk.Credentials.Azure(
            icechunk.azure_credentials(  # type: ignore[arg-type]  # icechunk 2.3 types them apart
                anonymous=access.anonymous, from_env=not access.anonymous
            )
        ),
        repository=lambda host, path, access: icechunk.azure_storage(
            account=access.azure_account,
            container=host,
            prefix=path.strip("/"),
            anonymous=access.anonymous,
            from_env=not access.anonymous,
        ),
    ),
    "https": Scheme(
        object_store=lambda host, access: HTTPStore.from_url(f"https://{host}", **_client(access)),
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


def refuse_secrets(url: str) -> None:
    """Refuse a URL that holds a password or a token.

    Raises
    ------
    InputError
        Without them, with how to give them.
    """
    shown = without_secrets(url)
    if shown != url:
        web = url.startswith("http")
        how = "a token is sent in a header, by hand" if web else "keys come from the environment"
        raise InputError(
            f"{shown}: a URL with a user, a password or a token in it, which is not sent, but "
            f"would be kept in the repository for all to read. Leave it out: {how} "
            "(references/storage.md)."
        )


def without_secrets(url: str) -> str:
    """A URL without the parts that may hold a password or a token, which are left as ``…``."""
    scheme, sign, rest = url.partition("://")
    if not sign or scheme == "file":
        return url
    query = re.search("[?#]" if scheme in ("http", "https") else "[?][^/]*=", rest)
    if query:
        return f"{without_secrets(url[: -len(rest)] + rest[: query.start()])}{query[0][0]}…"
    host, slash, path = rest.partition("/")
    user, at, name = host.rpartition("@")
    if at and (scheme not in ("abfs", "azure") or ":" in user):  # abfs://container@account/path
        return f"{scheme}://…@{name}{slash}{path}"
    if re.search(r":(?![0-9]*$)", host) and not host.startswith(("arn:", "[")):
        return f"{scheme}://…@{path.rpartition('@')[2]}" if "@" in path else f"{scheme}://…"
    return url


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
