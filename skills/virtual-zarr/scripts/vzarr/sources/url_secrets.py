"""Passwords and tokens in URLs: refused, and never shown."""

from __future__ import annotations

import re

from vzarr.errors import InputError


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
