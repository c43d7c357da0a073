"""Services that give credentials for an hour: NASA Earthdata and the Planetary Computer.

Obstore has a provider for each. What they give is asked for once in a process, for obstore and for
Icechunk, and renewed before it expires. The functions travel with pickled sessions, so they can be
imported by name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import icechunk

from vzarr.errors import EnvironmentFault, InputError
from vzarr.sources.url_secrets import without_secrets

EARTHDATA, PLANETARY_COMPUTER = "earthdata", "planetary-computer"


EARTHDATA_REGION = "us-west-2"
"""Of all buckets of NASA's archives. Their keys work for clients in this region alone."""


EARTHDATA_DOMAINS = (".nasa.gov", ".asf.alaska.edu")
"""Hosts that the token or the password of an Earthdata Login is for."""


RENEWED_BEFORE = timedelta(minutes=10)
"""The end of their life, or in the last fifth of it if that is shorter."""


TIMEOUT, RETRIES = 30, 5
"""Seconds that a request to a service takes at most, and how often it is sent again."""


@dataclass(frozen=True)
class _Given:
    """Credentials as obstore takes them, and the time from which they are asked for anew."""

    credentials: dict[str, Any]
    good_until: datetime


_given: dict[tuple[str, ...], _Given] = {}
_lock = Lock()


def check_service(auth: str) -> None:
    """Refuse what names no service, or would send a user's login elsewhere.

    Raises
    ------
    InputError
        With what can be named.
    """
    if auth == PLANETARY_COMPUTER:
        return
    name, _, url = auth.partition(":")
    if name != EARTHDATA:
        raise InputError(
            f"--auth {without_secrets(auth)}: no such service. Name {PLANETARY_COMPUTER}, or "
            f"{EARTHDATA}: with the URL of the archive's s3credentials."
        )
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_bare = re.fullmatch(r"https://[a-z0-9.-]+/[\w/.-]+", url)
    if not is_bare or not host.endswith(EARTHDATA_DOMAINS):
        raise InputError(
            f"--auth {EARTHDATA}:{without_secrets(url)}: name the URL from which the archive gives "
            f"keys of S3, as {EARTHDATA}:https://archive.podaac.earthdata.nasa.gov/s3credentials; "
            "your login is sent there, so it has to be a host of NASA."
        )


def is_earthdata(auth: str) -> bool:
    """Whether a service gives keys of AWS; the other gives signatures of Azure."""
    return auth.startswith(f"{EARTHDATA}:")


def s3_provider(auth: str) -> Callable[[], dict[str, Any]]:
    """What gives obstore the keys of an archive of NASA.

    Raises
    ------
    InputError
        If they are refused, or ``requests`` is not installed.
    EnvironmentFault
        If the service does not answer.
    """
    return _checked(_earthdata(auth), credentials_of)


def azure_provider(account: str, container: str) -> Callable[[], dict[str, Any]]:
    """What gives obstore the signature for a container of the Planetary Computer.

    Raises
    ------
    InputError, EnvironmentFault
        As ``s3_provider``.
    """
    return _checked((PLANETARY_COMPUTER, account, container), credentials_of)


def s3_credentials(auth: str) -> Any:
    """As ``s3_provider``, for Icechunk."""
    return icechunk.s3_refreshable_credentials(_checked(_earthdata(auth), s3_keys_of))


def azure_credentials(account: str, container: str) -> Any:
    """As ``azure_provider``, for Icechunk."""
    service = (PLANETARY_COMPUTER, account, container)
    return icechunk.azure_refreshable_credentials(_checked(service, azure_signature_of))


def credentials_of(service: tuple[str, ...]) -> dict[str, Any]:
    """Credentials as obstore takes them, from memory while they are good.

    Raises
    ------
    InputError, EnvironmentFault
        As ``s3_provider``.
    """
    return _current(service).credentials


def s3_keys_of(service: tuple[str, ...]) -> icechunk.S3StaticCredentials:
    """As ``credentials_of``, for Icechunk."""
    given = _current(service)
    return icechunk.S3StaticCredentials(
        access_key_id=given.credentials["access_key_id"],
        secret_access_key=given.credentials["secret_access_key"],
        session_token=given.credentials["token"],
        expires_after=given.good_until,
    )


def azure_signature_of(service: tuple[str, ...]) -> Any:
    """As ``credentials_of``, for Icechunk."""
    given = _current(service)
    token = given.credentials["sas_token"]
    return icechunk.AzureRefreshableCredential.SasToken(token, expires_after=given.good_until)


def _earthdata(auth: str) -> tuple[str, ...]:
    name, _, url = auth.partition(":")
    return name, url


def _checked(service: tuple[str, ...], ask: Callable[[tuple[str, ...]], Any]) -> Any:
    """A function without arguments, after a first call, whose refusal is told in a sentence."""
    _current(service)
    return partial(ask, service)


def _current(service: tuple[str, ...]) -> _Given:
    with _lock:
        given = _given.get(service)
        if given is None or given.good_until <= datetime.now(UTC):
            credentials = _ask(service)
            now = datetime.now(UTC)
            life = credentials["expires_at"] - now
            good_until = credentials["expires_at"] - min(RENEWED_BEFORE, life / 5)
            given = _given[service] = _Given(credentials, good_until)
        return given


def _ask(service: tuple[str, ...]) -> dict[str, Any]:
    """What a service gives now, as obstore's provider takes it.

    Raises
    ------
    InputError, EnvironmentFault
        As ``s3_provider``.
    """
    try:
        import requests
    except ImportError:
        raise InputError(
            f"--auth {service[0]} needs the package requests: run with "
            "`uv run --with requests scripts/virtual_zarr.py …`."
        ) from None
    with _session() as session:
        try:
            credentials = dict(_provider(service, session)())
        except requests.HTTPError as error:
            if error.response is not None and error.response.status_code in (400, 401, 403, 404):
                raise InputError(_refusal(service, error.response.status_code)) from error
            raise _no_answer(service, error) from error
        except (requests.RequestException, KeyError, ValueError) as error:
            raise _no_answer(service, error) from error
    expires = credentials["expires_at"]
    credentials["expires_at"] = expires if expires.tzinfo else expires.replace(tzinfo=UTC)
    return credentials


def _provider(service: tuple[str, ...], session: Any) -> Callable[[], Any]:
    if service[0] == EARTHDATA:
        from obstore.auth.earthdata import NasaEarthdataCredentialProvider

        return NasaEarthdataCredentialProvider(service[1], session=session)
    from obstore.auth.planetary_computer import PlanetaryComputerCredentialProvider

    try:
        return PlanetaryComputerCredentialProvider(
            account_name=service[1], container_name=service[2], session=session
        )
    except ImportError:
        raise InputError(
            "--auth planetary-computer: ~/.planetarycomputer/settings.env is read by the package "
            "python-dotenv: add `--with python-dotenv`, or set PC_SDK_SUBSCRIPTION_KEY."
        ) from None


def _refusal(service: tuple[str, ...], status: int) -> str:
    if service[0] == EARTHDATA:
        host = os.environ.get("EARTHDATA_HOST", "urs.earthdata.nasa.gov")
        return (
            f"--auth earthdata: {service[1]} gives no keys (HTTP {status}): set EARTHDATA_TOKEN, "
            f"or EARTHDATA_USERNAME and EARTHDATA_PASSWORD, or put {host} into ~/.netrc; and "
            "accept the archive's terms once in a browser."
        )
    return (
        f"--auth planetary-computer: no signature for the container {service[2]} of the account "
        f"{service[1]} (HTTP {status}): the Planetary Computer has no such collection."
    )


def _no_answer(service: tuple[str, ...], error: Exception) -> EnvironmentFault:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EnvironmentFault(
        f"--auth {service[0]}: the service gives no credentials: {first.rstrip('.')}. Run it again "
        "when it is back."
    )


def _session() -> Any:
    """A session of requests with an end to each request, and a few tries."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Patient(HTTPAdapter):
        def send(self, *request: Any, **options: Any) -> Any:
            return super().send(*request, **{**options, "timeout": TIMEOUT})

    session = requests.Session()
    retry = Retry(RETRIES, backoff_factor=0.2, status_forcelist=[429, 500, 502, 503, 504])
    session.mount("https://", Patient(max_retries=retry))
    return session
