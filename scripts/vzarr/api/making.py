"""Stores over files: made, grown, compared, kept in step with their sources."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from vzarr.api.arguments import AMBIENT, Files, listed
from vzarr.changes.append_request import Appended
from vzarr.changes.build import build as build_repository
from vzarr.changes.build_state import Built
from vzarr.changes.replacements import Refreshed
from vzarr.commands.add import Added
from vzarr.commands.add import add as add_files
from vzarr.commands.append import append as append_files
from vzarr.commands.inspect import Inspected, inspect_files
from vzarr.commands.migrate import migrate as migrate_references
from vzarr.commands.refresh import refresh as refresh_repository
from vzarr.commands.relocate import repoint
from vzarr.commands.verify import verify_named, verify_repository
from vzarr.progress import Progress, silent
from vzarr.sources.schemes import Access
from vzarr.verification.report import Report
from vzarr.verification.store import DEFAULT_SAMPLE


def inspect(
    files: Files,
    *,
    concat_dim: str | None = None,
    coord: Mapping[str, str] = MappingProxyType({}),
    coord_table: str | os.PathLike[str] | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Inspected:
    """Say what files hold, which can stand side by side, and what ``build`` would make of them.

    Reads metadata and coordinates only. Files that cannot be read are in ``unreadable`` of the
    result, with the reason. ``coord`` and ``coord_table`` as in ``build``.
    """
    return inspect_files(
        listed(files),
        access,
        concat_dim=concat_dim,
        coord=tuple(f"{name}={form}" for name, form in coord.items()),
        coord_table=None if coord_table is None else os.fspath(coord_table),
        progress=progress("inspected"),
    )


def build(
    files: Files,
    repo: str | os.PathLike[str],
    *,
    concat_dim: str | tuple[str, str] | None = None,
    drop: Iterable[str] = (),
    groups: Iterable[str] = (),
    select: Iterable[str] = (),
    skip_bad: bool = False,
    allow_copy: int | None = None,
    irregular: str | None = None,
    tolerance: float = 0.0,
    overlap: str | None = None,
    packing: str | None = None,
    coord: Mapping[str, str] = MappingProxyType({}),
    coord_table: str | os.PathLike[str] | None = None,
    prefixes: Iterable[str] = (),
    message: str | None = None,
    workers: int | None = None,
    batch: int | None = None,
    dask: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Built:
    """Make a new repository over files, compared with a sample of them before main shows it.

    ``concat_dim``: two of files that lie along two dimensions, as run and step of forecasts.
    ``drop`` leaves out variables or groups; ``groups`` takes these only, ``select``
    these messages of GRIB. ``allow_copy``: bytes that may be copied of what cannot be virtual
    (default: 10 MB, or half of all). ``irregular``: what to do where chunks of the files fill no
    regular grid: "rectilinear", "copy" or "refuse" (default: copy up to 5 %, else raise what each
    costs). ``overlap``: "first" or "last", whose steps stay where neighbours repeat some.
    ``packing``: "raw" for integers that each file scales in its way, virtual beside scales and
    offsets. ``coord`` gives coordinates by formats of times in names, as ``{"time": "%Y%m"}``,
    ``coord_table`` by a CSV file with a column ``file`` and one for each coordinate. ``prefixes``
    are what readers authorize. ``batch`` files make a commit (500); after a stop the same call goes
    on.
    """
    outer, inner = concat_dim if isinstance(concat_dim, tuple) else (concat_dim, None)
    return build_repository(
        listed(files),
        os.fspath(repo),
        replace(access, select=tuple(select)),
        concat_dim=outer,
        inner=inner,
        drop=tuple(drop),
        groups=tuple(groups),
        skip_bad=skip_bad,
        allow_copy=allow_copy,
        irregular=irregular,
        tolerance=tolerance,
        overlap=overlap,
        packing=packing,
        coord=tuple(f"{name}={form}" for name, form in coord.items()),
        coord_table=None if coord_table is None else os.fspath(coord_table),
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
    insert: bool = True,
    skip_bad: bool = False,
    sources: Files = (),
    irregular: str | None = None,
    overlap: str | None = None,
    coord_table: str | os.PathLike[str] | None = None,
    drop: Iterable[str] = (),
    prefixes: Iterable[str] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Appended:
    """Append those files that a repository does not hold yet, in one commit. Safe to run twice.

    ``replace`` writes files that were issued again over the old. Files that arrive late are put in
    front of those that they belong before, unless not ``insert``: they are left out then, and the
    others taken (``late`` of the result says why). ``sources``: what a repository
    that ``build`` did not make was made of; it is taken over if it reads as these do. ``irregular``
    and ``overlap`` as in ``build``, whose choice holds otherwise; ``coord_table`` lists the new
    files, where the store was built with a table. A variable that the repository has not begins
    with the first file that has it, unless ``drop`` names it.
    """
    return append_files(
        listed(files),
        os.fspath(repo),
        access,
        replace_known=replace,
        insert=insert,
        skip_bad=skip_bad,
        made_of=tuple(listed(sources)),
        irregular=irregular,
        overlap=overlap,
        coord_table=None if coord_table is None else os.fspath(coord_table),
        drop=tuple(drop),
        prefixes=tuple(prefixes),
        message=message,
        workers=workers,
        dask=dask,
        progress=progress,
    )


def add(
    files: Files,
    repo: str | os.PathLike[str],
    *,
    drop: Iterable[str] = (),
    prefixes: Iterable[str] = (),
    message: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Added:
    """Put variables of files of another product beside those of a repository, in one commit.

    Records and grid have to be the same; records without a file are missing. ``append`` takes files
    of all products from then on. Safe to run twice.
    """
    return add_files(
        listed(files),
        os.fspath(repo),
        access,
        drop=tuple(drop),
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
    location, files = os.fspath(repo), listed(sources)
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
        listed(references),
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
