"""What the commands do, as functions for scripts: typed results, no printing, no exit.

``import vzarr`` offers all of it, with ``scripts/`` on the path::

    import vzarr

    built = vzarr.build("data/*.nc", "era5.icechunk")
    assert vzarr.verify("era5.icechunk", sample=None).passed
    ds = vzarr.open_dataset("era5.icechunk")

Files are a path, a glob or a URL, or several of these; a repository is a path or URL. ``access``
says how remote objects are reached (by default with the role or the keys of the environment).
Every function raises ``InputError`` for what the caller can mend, ``Refused`` for what would read
wrong, and ``EnvironmentFault`` where storage or the machine fails: each with one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import icechunk
import xarray as xr

from vzarr.changes.build import Built
from vzarr.changes.build import build as build_repository
from vzarr.changes.replacements import Refreshed
from vzarr.commands.append import Appended
from vzarr.commands.append import append as append_files
from vzarr.commands.inspect import Inspected, inspect_files
from vzarr.commands.log import Commit, read_log
from vzarr.commands.migrate import migrate as migrate_references
from vzarr.commands.refresh import refresh as refresh_repository
from vzarr.commands.relocate import repoint
from vzarr.commands.show import Shown
from vzarr.commands.show import show as show_repository
from vzarr.commands.verify import verify_named, verify_repository
from vzarr.progress import Progress, silent
from vzarr.repository.open import open_any_repository
from vzarr.repository.references import rewrite_urls
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming, reaching
from vzarr.verification.foreign import describe_named
from vzarr.verification.open import open_store
from vzarr.verification.report import Report
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store
from vzarr.virtualize.model import ParsedFile
from vzarr.virtualize.parse import parse_file

Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
AMBIENT = Access()
"""The role or keys of the environment."""


def inspect(
    files: Files,
    *,
    concat_dim: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Inspected:
    """Say what files hold, which can stand side by side, and what ``build`` would make of them.

    Reads metadata and coordinates only. Files that cannot be read are in ``unreadable`` of the
    result, with the reason.
    """
    return inspect_files(
        _listed(files), access, concat_dim=concat_dim, progress=progress("inspected")
    )


def build(
    files: Files,
    repo: str | os.PathLike[str],
    *,
    concat_dim: str | None = None,
    drop: Iterable[str] = (),
    groups: Iterable[str] = (),
    select: Iterable[str] = (),
    skip_bad: bool = False,
    allow_copy: int | None = None,
    irregular: str | None = None,
    prefixes: Iterable[str] = (),
    message: str | None = None,
    workers: int | None = None,
    batch: int | None = None,
    dask: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Built:
    """Make a new repository over files, compared with a sample of them before main shows it.

    ``drop`` leaves out variables or groups; ``groups`` takes these only, ``select``
    these messages of GRIB. ``allow_copy``: bytes that may be copied of what cannot be virtual
    (default: 10 MB, or half of all). ``irregular``: what to do where chunks of the files fill no
    regular grid: "rectilinear", "copy" or "refuse" (default: copy up to 5 %, else raise what each
    costs). ``prefixes`` are what readers authorize. ``batch`` files make a commit (500); after a
    stop the same call goes on.
    """
    return build_repository(
        _listed(files),
        os.fspath(repo),
        replace(access, select=tuple(select)),
        concat_dim=concat_dim,
        drop=tuple(drop),
        groups=tuple(groups),
        skip_bad=skip_bad,
        allow_copy=allow_copy,
        irregular=irregular,
        prefixes=tuple(prefixes),
        message=message,
        workers=workers,
        batch=batch,
        dask=dask,
        progress=progress,
    )


def append(
    files: Files,
    repo: str | os.PathLike[str],
    *,
    replace: bool = False,
    skip_bad: bool = False,
    sources: Files = (),
    irregular: str | None = None,
    prefixes: Iterable[str] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Appended:
    """Append those files that a repository does not hold yet, in one commit. Safe to run twice.

    ``replace`` writes files that were issued again over the old. ``sources``: what a repository
    that ``build`` did not make was made of; it is taken over if it reads as these do. ``irregular``
    as in ``build``, whose choice holds otherwise.
    """
    return append_files(
        _listed(files),
        os.fspath(repo),
        access,
        replace_known=replace,
        skip_bad=skip_bad,
        made_of=tuple(_listed(sources)),
        irregular=irregular,
        prefixes=tuple(prefixes),
        message=message,
        workers=workers,
        dask=dask,
        progress=progress,
    )


def verify(
    repo: str | os.PathLike[str],
    sources: Files = (),
    *,
    sample: int | None = DEFAULT_SAMPLE,
    concat_dim: str | None = None,
    group: str | None = None,
    skip: Iterable[str] = (),
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Report:
    """Compare a repository's main branch with its sources: ``sample`` files, or all for None.

    ``sources`` name the files of a repository that ``build`` did not make; only there have
    ``concat_dim``, ``group`` (the files' group that is the store's root) and ``skip`` a meaning.
    ``passed`` of the result says whether all values were equal; ``failures`` what differed.
    """
    location, files = os.fspath(repo), _listed(sources)
    if not files:
        return verify_repository(location, access, sample=sample, progress=progress("compared"))
    return verify_named(
        location,
        files,
        access,
        concat_dim=concat_dim,
        source_group=group,
        skip=tuple(skip),
        sample=sample,
        progress=progress("compared"),
    )


def refresh(
    repo: str | os.PathLike[str],
    *,
    dry_run: bool = False,
    content: bool = False,
    message: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Refreshed:
    """Find sources that changed since they were committed, and commit their new state.

    ``content`` compares the values of files that look unchanged, too.
    """
    return refresh_repository(
        os.fspath(repo),
        access,
        dry_run=dry_run,
        content=content,
        message=message,
        progress=progress,
    )


def relocate(
    repo: str | os.PathLike[str],
    old: str,
    new: str,
    *,
    dry_run: bool = False,
    everything: bool = False,
    message: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Refreshed:
    """Let every reference that begins with ``old`` lead to the same path below ``new``.

    A sample of the files, or ``everything``, is compared at the new place before the commit.
    """
    return repoint(
        os.fspath(repo),
        access,
        old,
        new,
        dry_run=dry_run,
        everything=everything,
        message=message,
        progress=progress,
    )


def migrate(
    references: Files,
    repo: str | os.PathLike[str],
    *,
    moved: tuple[str, str] | None = None,
    concat_dim: str | None = None,
    drop: Iterable[str] = (),
    everything: bool = False,
    allow_copy: int | None = None,
    prefixes: Iterable[str] = (),
    message: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Built:
    """Make a repository of Kerchunk references in JSON or Parquet, each of them checked.

    ``moved``: what references begin with, and where that is now.
    """
    return migrate_references(
        _listed(references),
        os.fspath(repo),
        access,
        moved=moved,
        concat_dim=concat_dim,
        drop=tuple(drop),
        everything=everything,
        allow_copy=allow_copy,
        prefixes=tuple(prefixes),
        message=message,
        progress=progress,
    )


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


def parse(
    file: str | os.PathLike[str],
    *,
    record_dimension: str | None = None,
    drop: Iterable[str] = (),
    groups: Iterable[str] = (),
    access: Access = AMBIENT,
) -> ParsedFile:
    """References to one file, each variable compared with a native reader of the file.

    ``dataset`` of the result has virtual variables (``ManifestArray``) and loaded ones; ``native``
    and ``dropped`` give the reason for each variable that is not virtual.
    """
    (source,) = find_sources(_listed(file), access)
    access = naming(access, _listed(file))
    return parse_file(source, access, tuple(drop), record_dimension, tuple(groups))


def compare(
    session: icechunk.Session,
    files: Files,
    *,
    concat_dim: str | None = None,
    group: str | None = None,
    skip: Iterable[str] = (),
    sample: int | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Report:
    """Compare what a session shows, committed or not, with the files that it was made of.

    Call it in the session that commits, right before the commit, and commit only if ``passed``.
    The files stand in the order of their records; ``group`` is theirs that is the store's root.
    """
    patterns = _listed(files)
    access = reaching(naming(access, patterns), session.config, "")
    metadata = describe_named(
        session.store,
        patterns,
        access,
        concat_dim=concat_dim,
        source_group=group,
        skip=tuple(skip),
    )
    return compare_store(
        session.store, metadata, access, sample=sample, progress=progress("compared")
    )


def rewrite_references(session: icechunk.Session, new_url: Callable[[str], str]) -> int:
    """Rewrite the URL of each reference of a writable session; returns the number changed.

    ``new_url`` takes a URL and gives the new one, or the same. The containers of the repository
    must hold the new URLs. Readers fail at files that change after this call.
    """
    # Icechunk keeps whole seconds, and a file may have been moved in this one.
    return rewrite_urls(session, new_url, datetime.now(UTC) + timedelta(seconds=1))


def _listed(files: Files) -> list[str]:
    several = [files] if isinstance(files, str | os.PathLike) else files
    return [os.fspath(file) for file in several]
