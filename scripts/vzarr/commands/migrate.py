"""Kerchunk references to a repository that no longer needs them."""

from __future__ import annotations

from dataclasses import replace

from vzarr.changes.build import build
from vzarr.changes.build_state import Built
from vzarr.errors import InputError
from vzarr.formats.detect import detect_format
from vzarr.progress import Progress, silent
from vzarr.sources.content import fetch
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access


def migrate(
    patterns: list[str],
    location: str,
    access: Access,
    *,
    moved: tuple[str, str] | None = None,
    concat_dim: str | None = None,
    drop: tuple[str, ...] = (),
    everything: bool = False,
    allow_copy: int | None = None,
    message: str | None = None,
    prefixes: tuple[str, ...] = (),
    progress: Progress = silent,
) -> Built:
    """Make a repository of Kerchunk references; raise before anything is written if it is wrong.

    ``moved``: references that begin with the first now lead to the second. A sample of the source
    files, or ``everything``, is compared with the store.

    Raises
    ------
    InputError
        For what are no Kerchunk references, or lead to nothing, or beyond the end of a file.
    Refused
        If the store does not read as the source files do.
    """
    if moved is not None:
        access = replace(access, trust=(*access.trust, moved[1]), moved=moved)
    for source in find_sources(patterns, access):
        if not detect_format(fetch(source.url, access, source.size)).startswith("kerchunk"):
            raise InputError(f"{source.url}: no Kerchunk references; build takes it as it is.")
    return build(
        patterns,
        location,
        access,
        concat_dim=concat_dim,
        drop=drop,
        message=message or "from Kerchunk references",
        everything=everything,
        allow_copy=allow_copy,
        prefixes=prefixes,
        progress=progress,
    )
