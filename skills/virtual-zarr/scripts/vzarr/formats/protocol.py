"""The contract of a format: what its module defines, and nothing else has to know of it.

A new format is a module with these functions and an entry in ``vzarr.formats.registry``. mypy
compares each registered module with it (``tests/architecture/test_package.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup

from vzarr.sources.content import Content


class Format(Protocol):
    """One format. ``content`` is one file, or one folder, of it.

    What reading tells beside values goes into ``content.findings``; what takes time is asked for
    through ``content.once``.
    """

    def list_groups(self, content: Content) -> list[str]:
        """Paths of the groups that may hold variables, without a slash in front.

        The root is an empty string.

        Raises
        ------
        InputError
            For a file that no reader can take: what is wrong with it, and what to do.
        Exception
            Whatever the reader raises for a broken file.
        """

    def open_group(
        self, content: Content, group: str, drop: Sequence[str], decode_times: bool
    ) -> xr.Dataset:
        """One group, by a reader that knows nothing of manifests: the truth.

        Lazily, and CF-decoded; with ``decode_times`` False times stay numbers. Without the
        variables in ``drop``, which are not looked at. Whoever asked closes it.

        Raises
        ------
        Refused
            If the group declares more than ``vzarr.limits`` allow, before anything is made of it.
        ValueError
            With "decode time" in its text, if xarray cannot decode the units of a time.
        Exception
            Whatever the reader raises for a broken file.
        """

    def manifest_group(
        self,
        url: str,
        registry: ObjectStoreRegistry,
        content: Content,
        group: str,
        drop: Sequence[str],
    ) -> ManifestGroup:
        """References to the arrays of one group, without those below it and those in ``drop``.

        ``registry`` has the stores of ``url`` and of all that the file refers to. Empty for a group
        whose variables references cannot describe: they are copied.

        Raises
        ------
        Refused
            If the arrays declare more than ``vzarr.limits`` allow.
        Exception
            Whatever the parser raises for what it cannot describe.
        """
