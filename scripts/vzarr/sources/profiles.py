"""Keys of an AWS profile, also of SSO and of a role that the profile assumes: from boto3."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Any

import icechunk

from vzarr.errors import InputError
from vzarr.text import shell_word

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Variables that obstore reads by itself; with one of them set it needs no profile."""


ASKED_AGAIN = timedelta(minutes=5)
"""After which Icechunk asks for the keys of a profile again; boto3 renews them ten minutes before
they expire."""


def profile_credentials(profile: str | None = None) -> Any | None:
    """What gives obstore the keys of a profile, by default of ``AWS_PROFILE``; None without one.

    Raises
    ------
    InputError
        If boto3 is not installed, or there is no such profile: with what to do.
    """
    by_environment = not any(os.environ.get(key) for key in KEYS) and os.environ.get("AWS_PROFILE")
    if not (profile or by_environment):
        return None
    session = _session(profile)
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        return Boto3CredentialProvider(session)
    except ValueError as error:  # no credentials in it
        raise _without_keys(profile, error) from error


def icechunk_credentials(profile: str | None) -> dict[str, Any]:
    """What Icechunk's S3 storage and credentials take: the environment, or a profile of its own.

    The function travels with pickled sessions, so it can be imported by name.

    Raises
    ------
    InputError
        As ``profile_credentials``.
    """
    if profile is None:
        return {"from_env": True}
    _session(profile)
    return {"get_credentials": partial(keys_of, profile)}


def keys_of(profile: str) -> icechunk.S3StaticCredentials:
    """The keys of a profile as they are now.

    Raises
    ------
    InputError
        If it has none, or there is no such profile.
    """
    credentials = _session(profile).get_credentials()
    if credentials is None:
        raise _without_keys(profile, ValueError("it has none"))
    keys = credentials.get_frozen_credentials()
    return icechunk.S3StaticCredentials(
        access_key_id=keys.access_key,
        secret_access_key=keys.secret_key,
        session_token=keys.token,
        expires_after=datetime.now(UTC) + ASKED_AGAIN,
    )


def _session(profile: str | None) -> Any:
    try:
        import boto3  # noqa: F401
    except ImportError:
        name = profile or os.environ["AWS_PROFILE"]
        export = f"aws configure export-credentials --profile {shell_word(name)} --format env"
        raise InputError(
            f"{_naming(profile)}, which is read by boto3: run with `uv run --with boto3 "
            f'scripts/virtual_zarr.py …`, or export its keys: eval "$({export})".'
        ) from None
    return _cached_session(profile, os.environ.get("AWS_PROFILE"))


@lru_cache(maxsize=16)
def _cached_session(profile: str | None, default: str | None) -> Any:
    """One session of a profile for all that this process does, so that a role is assumed once."""
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.Session(profile_name=profile or default)
    except (BotoCoreError, ValueError) as error:
        raise _without_keys(profile, error) from error


def _without_keys(profile: str | None, error: Exception) -> InputError:
    first = str(error).splitlines()[0].rstrip(".")
    return InputError(f"{_naming(profile)}, without keys: {first}.")


def _naming(profile: str | None) -> str:
    if profile:
        return f"--profile names the profile {profile}"
    return f"AWS_PROFILE names the profile {os.environ['AWS_PROFILE']}"
