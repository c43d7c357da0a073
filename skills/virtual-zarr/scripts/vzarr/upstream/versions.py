"""Which release of a library is installed: what a patch is for."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

from packaging.version import Version


@cache
def installed(package: str) -> tuple[int, ...]:
    """The release of an installed package, as ``(1, 8, 2)``.

    Raises
    ------
    importlib.metadata.PackageNotFoundError
        If it is not installed.
    """
    return Version(version(package)).release
