"""What the functions of this package take."""

from __future__ import annotations

import os
from collections.abc import Iterable

from vzarr.sources.schemes import Access

Files = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
AMBIENT = Access()
"""The role or keys of the environment."""


def listed(files: Files) -> list[str]:
    """Files as a list of patterns."""
    several = [files] if isinstance(files, str | os.PathLike) else files
    return [os.fspath(file) for file in several]
