"""Whether the new state of a file fits into the place of the old one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vzarr.changes.stored_files import ADVICE, expected_in_store, with_own
from vzarr.combine.compatibility import Difference, compare_files
from vzarr.combine.store_metadata import GroupInStore, span_of
from vzarr.errors import Refused
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.virtualize.equality import same
from vzarr.virtualize.model import ParsedFile

NO_DIMENSION = "\0"
"""Stands for the dimension of a store of one file, in which nothing grows."""


def check_fits(
    stored: ParsedFile, part: ParsedFile, metadata: GroupInStore, number: int, access: Access
) -> None:
    """What ``build`` asks of files that share arrays, asked of one file and the store.

    Raises
    ------
    Refused
        If they differ.
    """
    dimension = metadata["concat_dim"]
    length = part.dataset.sizes.get(dimension, 1)
    span = span_of(metadata, number)
    expected = span.stop - span.start
    stored = with_own(stored, metadata["sources"][number])
    if length != expected:
        what = f"the length of {dimension}"
        name = dimension if dimension in part.dataset.variables else (part.virtual or [""])[0]
        differences = [
            Difference(part.source.url, str(name), what, length, expected, stored.source.url)
        ]
    else:
        expected_file = expected_in_store(stored, part, metadata)
        differences = compare_files(expected_file, part, dimension or NO_DIMENSION, access)
        if dimension is None:
            differences += _static_differences(expected_file, part)
    if differences:
        more = (
            f" ({len(differences) - 1} more differences in this file.)"
            if len(differences) > 1
            else ""
        )
        raise Refused(f"{replace(differences[0], advice=ADVICE)}{more}")


def _static_differences(stored: ParsedFile, part: ParsedFile) -> list[Difference]:
    """For a store of one file, where no dimension grows: all of it must keep its form."""
    differences = []
    for name in part.virtual:
        if name not in stored.virtual:
            continue
        mine, theirs = part.dataset[name].variable.data, stored.dataset[name].variable.data
        pairs: list[tuple[str, Any, Any]] = [
            ("the dtype", str(mine.dtype), str(theirs.dtype)),
            ("the list of codecs", list(mine.metadata.codecs), list(theirs.metadata.codecs)),
            (
                "the chunk shape",
                manifest_chunk_shape(mine.metadata),
                manifest_chunk_shape(theirs.metadata),
            ),
        ]
        keys = sorted({*part.packing.get(name, {}), *stored.packing.get(name, {})})
        packing = (part.packing.get(name, {}), stored.packing.get(name, {}))
        pairs += [(key, packing[0].get(key), packing[1].get(key)) for key in keys]
        differences += [
            Difference(part.source.url, name, what, value, expected, stored.source.url)
            for what, value, expected in pairs
            if not same(value, expected)
        ]
    return differences
