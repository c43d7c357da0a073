"""Parts for stores that are written by hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

import icechunk

from vzarr.api.arguments import AMBIENT, Files, listed
from vzarr.progress import Progress, silent
from vzarr.repository.references import rewrite_urls
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming, reaching
from vzarr.verification.foreign import describe_named
from vzarr.verification.report import Report
from vzarr.verification.store import compare_store
from vzarr.virtualize.model import ParsedFile
from vzarr.virtualize.parse import parse_file


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
    (source,) = find_sources(listed(file), access)
    access = naming(access, listed(file))
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
    patterns = listed(files)
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
