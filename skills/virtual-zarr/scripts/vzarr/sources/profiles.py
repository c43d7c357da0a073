"""Keys of an AWS profile, also of SSO: Icechunk reads ``~/.aws``, obstore asks boto3 for them."""

from __future__ import annotations

import os
from typing import Any

from vzarr.errors import InputError
from vzarr.text import shell_word

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Variables that obstore reads by itself; with one of them set it needs no profile."""


def profile_credentials() -> Any | None:
    """What gives obstore the keys of the profile that ``AWS_PROFILE`` names; None without one.

    Raises
    ------
    InputError
        If boto3 is not installed, or there is no such profile: with what to do.
    """
    name = os.environ.get("AWS_PROFILE")
    if not name or any(os.environ.get(key) for key in KEYS):
        return None
    export = f'eval "$(aws configure export-credentials --profile {shell_word(name)} --format env)"'
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        raise InputError(
            f"AWS_PROFILE names the profile {name}, which is read by boto3: run with `uv run "
            f"--with boto3 scripts/virtual_zarr.py …`, or export its keys: {export}."
        ) from None
    try:
        return Boto3CredentialProvider(boto3.Session(profile_name=name))
    except (BotoCoreError, ValueError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"AWS_PROFILE names the profile {name}, without keys: {first}.") from error
