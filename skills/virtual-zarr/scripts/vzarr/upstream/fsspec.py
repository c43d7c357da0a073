"""Kerchunk references in Parquet, array by array.

``LazyReferenceMapper`` of fsspec 2026.9 lists the chunks that could be there by a private name, and
by another reads a reference without the bytes that it leads to.

Remove when: fsspec lists the references of one array publicly. Look for "LazyReferenceMapper" at
https://github.com/fsspec/filesystem_spec/issues.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.reference import LazyReferenceMapper


class ParquetReferences:
    """The references in a local folder of Parquet files."""

    def __init__(self, folder: Path) -> None:
        self._mapper = LazyReferenceMapper(str(folder), fs=LocalFileSystem())

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of all groups and arrays, by key."""
        return self._mapper.zmetadata

    def chunks(self, path: str) -> Iterator[tuple[str, Any]]:
        """Key and reference of each chunk of an array that is there."""
        for key in self._mapper._keys_in_field(path):
            try:
                reference = self._mapper._load_one_key(key)
            except KeyError:
                continue
            if not (isinstance(reference, list) and not isinstance(reference[0], str)):
                yield key, reference
