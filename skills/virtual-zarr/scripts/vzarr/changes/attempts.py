"""A change to main beside other writers: from the start again, where one of them commits first."""

from __future__ import annotations

from collections.abc import Callable

import icechunk

from vzarr.errors import Refused
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access

ATTEMPTS = 10
"""Runs against other writers before giving up."""


def attempt[T](
    change: Callable[[icechunk.Repository], T],
    repository: icechunk.Repository,
    location: str,
    access: Access,
) -> T:
    """What ``change`` returns, once nobody else has committed while it ran.

    Raises
    ------
    Refused
        If others were faster, ``ATTEMPTS`` times.
    """
    for _ in range(ATTEMPTS):
        try:
            with exclusive_lock(location):
                return change(repository)
        except icechunk.ConflictError:
            # What is new has to be found out again.
            repository = open_any_repository(location, access)
    raise Refused(
        f"{location}: other writers committed first, {ATTEMPTS} times: run it again when fewer "
        "write. What this run did not commit is not there."
    )


def session_at(repository: icechunk.Repository, tip: str) -> icechunk.Session:
    """A session to write to main, which shows the snapshot ``tip``.

    Raises
    ------
    icechunk.ConflictError
        If it shows another one by now.
    """
    session = repository.writable_session("main")
    if session.snapshot_id != tip:
        raise icechunk.ConflictError(tip, session.snapshot_id)
    return session
