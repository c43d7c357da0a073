"""How sources and a repository are reached, as the user says it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from vzarr.errors import InputError
from vzarr.sources.token_services import EARTHDATA_REGION, check_service, is_earthdata
from vzarr.sources.url_secrets import without_secrets


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
    ``auth``: the service that gives credentials for the sources, and never for the repository
    (``vzarr.sources.token_services``). ``retries`` of a request, each of ``timeout`` seconds.
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
    auth: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would send credentials to a place that they are not for.

        Raises
        ------
        InputError
            With the options that contradict each other.
        """
        if self.auth is not None:
            check_service(self.auth)
            given = {
                "--anonymous": self.anonymous,
                "--profile": self.profile,
                f"the server {self.endpoint}": self.takes_aws_keys and self.endpoint,
            }
            for name, value in given.items():
                if value:
                    raise InputError(
                        f"--auth {self.auth}: not with {name}, for which its credentials are not."
                    )

    @property
    def takes_aws_keys(self) -> bool:
        """Whether ``auth`` gives keys that are for AWS, and for no other server of S3."""
        return self.auth is not None and is_earthdata(self.auth)

    @property
    def takes_signatures(self) -> bool:
        """Whether ``auth`` gives signatures for containers of Azure."""
        return self.auth is not None and not is_earthdata(self.auth)

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
            auth=None,
            containers=(),
        )

    def at(self, url: str) -> Access:
        """This access with what the container of a URL says of it, where the user said nothing."""
        for place in self.containers:
            if url.startswith(place.prefix):
                return replace(
                    self,
                    auth=None if place.anonymous else self.auth,
                    anonymous=self.anonymous or place.anonymous,
                    region=self.region or place.region,
                    account=self.account or place.account,
                    endpoint=self.endpoint or place.endpoint,
                )
        return self

    @property
    def s3_endpoint(self) -> str | None:
        """``endpoint``, else what the environment says; None for AWS.

        Raises
        ------
        InputError
            If the environment names a server that the keys of ``auth`` are not for.
        """
        endpoint = _checked(self.endpoint or _endpoint_of_environment())
        if endpoint and self.takes_aws_keys:
            raise InputError(
                f"--auth {self.auth}: its keys are for AWS, and the environment leads S3 to "
                f"{endpoint}: unset AWS_ENDPOINT_URL, and name the server of the repository with "
                "--repo-endpoint."
            )
        return endpoint

    @property
    def repository_endpoint(self) -> str | None:
        """The endpoint of the repository; None for AWS."""
        return _checked(self.repo_endpoint or self.endpoint or _endpoint_of_environment())

    @property
    def endpoints(self) -> list[str]:
        """All endpoints that the user gave."""
        given = [self.endpoint, self.repo_endpoint, *_environment(*ENDPOINT_VARIABLES)]
        return [endpoint for endpoint in given if endpoint]

    @property
    def aws_region(self) -> str:
        """``region``, else where the data of ``auth`` are, or what the environment says."""
        if self.takes_aws_keys:
            return self.region or EARTHDATA_REGION
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


def _endpoint_of_environment() -> str | None:
    return next(iter(_environment(*ENDPOINT_VARIABLES)), None)


def _environment(*names: str) -> list[str]:
    return [os.environ[name] for name in names if os.environ.get(name)]
