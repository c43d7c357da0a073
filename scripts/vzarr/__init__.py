"""Build and verify virtual Zarr stores: the package behind ``scripts/virtual_zarr.py``.

For scripts: the functions of ``vzarr.api``, which are loaded when they are first used. Put
``scripts/`` on ``sys.path`` to import it.

Its rooms, from the top: ``cli`` (options, what is printed), ``commands`` (one module each),
``reports`` (pages of what commands return), ``changes`` (steps that commands share),
``verification`` (a store beside its sources), ``repository`` (Icechunk), ``combine`` (many files to
one dataset), ``virtualize`` (one file to references), ``formats``, ``sources`` (where files lie),
``upstream`` (patches of libraries), ``pages`` (HTML). A module imports from its own room and from
those below it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vzarr.api import (
        append,
        build,
        compare,
        copy,
        expire,
        inspect,
        log,
        migrate,
        open_dataset,
        open_repository,
        parse,
        refresh,
        relocate,
        remove,
        report,
        rewrite_references,
        rollback,
        show,
        tag,
        verify,
    )
    from vzarr.errors import AccessDenied, EnvironmentFault, InputError, Refused
    from vzarr.sources.schemes import Access

__version__ = "0.1.0"
__all__ = [
    "Access",
    "AccessDenied",
    "EnvironmentFault",
    "InputError",
    "Refused",
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
_ELSEWHERE = {"Access": "vzarr.sources.schemes"} | dict.fromkeys(
    ["AccessDenied", "EnvironmentFault", "InputError", "Refused"], "vzarr.errors"
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'vzarr' has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "vzarr.api")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
