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

from vzarr.api.keeping import (
    copy,
    expire,
    log,
    open_dataset,
    open_repository,
    remove,
    rollback,
    show,
    tag,
)
from vzarr.api.making import append, build, inspect, migrate, refresh, relocate, verify
from vzarr.api.parts import compare, parse, rewrite_references
from vzarr.api.reporting import report

__all__ = [
    "append",
    "build",
    "compare",
    "copy",
    "expire",
    "inspect",
    "log",
    "migrate",
    "open_dataset",
    "open_repository",
    "parse",
    "refresh",
    "relocate",
    "remove",
    "report",
    "rewrite_references",
    "rollback",
    "show",
    "tag",
    "verify",
]
