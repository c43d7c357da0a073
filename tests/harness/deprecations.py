"""Deprecations that a block meets: which count, and how they are collected.

Counted are those that the block itself or a package that it is about is blamed for; others (a
package deep below another) are not the block's. Also imported in the processes of script blocks.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

CATEGORIES = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
BLAMED = r"(__main__|virtualizarr|icechunk|xarray|zarr|obstore|obspec_utils|kerchunk)(\..*)?$"


def watch(action: str) -> None:
    """Apply an action of ``warnings`` to what counts, and ignore the other deprecations."""
    for category in CATEGORIES:
        warnings.filterwarnings("ignore", category=category)
    for category in CATEGORIES:
        warnings.filterwarnings(action, category=category, module=BLAMED)
    # A FutureWarning of zarr's, on data types without a specification: nothing to call otherwise.
    warnings.filterwarnings("ignore", message=r"The data type \(.*\) does not have a Zarr V3")


@contextmanager
def collected() -> Iterator[list[str]]:
    """A list that is filled, at the end, with what was met: ``DeprecationWarning: text``."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        watch("always")
        yield found
    for warning in caught:
        if issubclass(warning.category, CATEGORIES):
            found.append(f"{warning.category.__name__}: {warning.message}")
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
