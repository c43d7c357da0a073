"""Repositories: looked at, opened, and their history."""

from __future__ import annotations

import os
from datetime import datetime

import icechunk
import xarray as xr

from vzarr.api.arguments import AMBIENT, Files, listed
from vzarr.commands.copy import Copied
from vzarr.commands.copy import copy as copy_repository
from vzarr.commands.expire import Expired
from vzarr.commands.expire import expire as expire_commits
from vzarr.commands.log import read_log
from vzarr.commands.remove import Removed
from vzarr.commands.remove import remove as remove_records
from vzarr.commands.rollback import RolledBack
from vzarr.commands.rollback import rollback as roll_back
from vzarr.commands.show import Shown
from vzarr.commands.show import show as show_repository
from vzarr.commands.tag import Tagged
from vzarr.commands.tag import tag as tag_commit
from vzarr.progress import Progress, silent
from vzarr.repository.commits import Commit
from vzarr.repository.open import open_any_repository
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming
from vzarr.verification.open import open_store


def show(
    repo: str | os.PathLike[str],
    *,
    branch: str | None = None,
    tag: str | None = None,
    snapshot: str | None = None,
    list_sources: bool = False,
    access: Access = AMBIENT,
) -> Shown:
    """Describe any Icechunk repository: arrays, coverage, sources, history, what readers need.

    Nothing but the repository is read, so nothing need be trusted.
    """
    return show_repository(
        os.fspath(repo),
        access,
        branch=branch,
        tag=tag,
        snapshot=snapshot,
        list_sources=list_sources,
    )


def log(
    repo: str | os.PathLike[str],
    *,
    branch: str = "main",
    count: int | None = None,
    since: datetime | None = None,
    access: Access = AMBIENT,
) -> list[Commit]:
    """The commits of a branch or tag, the newest first; ``since`` has a zone."""
    return read_log(os.fspath(repo), access, branch=branch, count=count, since=since)


def remove(
    repo: str | os.PathLike[str],
    files: Files = (),
    *,
    records: str | None = None,
    index: str | None = None,
    gap: bool = False,
    dry_run: bool = False,
    message: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Removed:
    """Take files, or ``records`` by value or by ``index`` ("FIRST..LAST"), out in one commit.

    With ``gap`` their place stays in the axis, and all data in it are missing.
    """
    return remove_records(
        os.fspath(repo),
        access,
        listed(files),
        records=records,
        index=index,
        leave_gap=gap,
        dry_run=dry_run,
        message=message,
        progress=progress,
    )


def rollback(
    repo: str | os.PathLike[str],
    to: str,
    *,
    branch: str = "main",
    dry_run: bool = False,
    access: Access = AMBIENT,
) -> RolledBack:
    """Let a branch show an earlier commit of its own, or a tag. Nothing is deleted."""
    return roll_back(os.fspath(repo), access, to, branch=branch, dry_run=dry_run)


def tag(
    repo: str | os.PathLike[str],
    name: str,
    *,
    branch: str = "main",
    snapshot: str | None = None,
    delete: bool = False,
    access: Access = AMBIENT,
) -> Tagged:
    """Name a commit for good: readers open it by its tag, and ``expire`` keeps it."""
    return tag_commit(
        os.fspath(repo), access, name, branch=branch, snapshot=snapshot, delete=delete
    )


def expire(
    repo: str | os.PathLike[str],
    older_than: datetime,
    *,
    delete: bool = False,
    access: Access = AMBIENT,
) -> Expired:
    """Let history begin at a time (with a zone), and delete what nothing refers to any more.

    Without ``delete`` the result only says what would go.
    """
    return expire_commits(os.fspath(repo), access, older_than, delete=delete)


def copy(
    repo: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    content: bool = False,
    access: Access = AMBIENT,
    new_access: Access = AMBIENT,
) -> Copied:
    """Copy a repository to another disk or cloud, or bring what an earlier copy lacks.

    ``access`` says how ``repo`` is reached and ``new_access`` how ``new`` is. Readers of ``new``
    see all of it, or nothing. ``content``: compare the bytes of what earlier runs copied, too.
    """
    return copy_repository(
        os.fspath(repo), access, os.fspath(new), new_access, dry_run=dry_run, content=content
    )


def open_repository(
    repo: str | os.PathLike[str], *, access: Access = AMBIENT
) -> icechunk.Repository:
    """Any Icechunk repository, with access to those of its containers that may be trusted.

    Trusted is what ``access`` names and what this machine built; nothing is sent elsewhere.
    """
    location = os.fspath(repo)
    return open_any_repository(location, naming(access, location=location))


def open_dataset(
    repo: str | os.PathLike[str],
    group: str = "",
    *,
    branch: str = "main",
    access: Access = AMBIENT,
) -> xr.Dataset:
    """One group of a branch, lazily."""
    return open_store(open_repository(repo, access=access).readonly_session(branch).store, group)
