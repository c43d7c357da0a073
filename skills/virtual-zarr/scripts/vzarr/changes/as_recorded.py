"""A file that is parsed again, in the form in which the store took it in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vzarr.combine.kinds import as_kind
from vzarr.combine.named_coordinates import from_record, give_coordinates
from vzarr.combine.overlap import index_of, trim
from vzarr.virtualize.model import ParsedFile


def as_recorded(file: ParsedFile, record: Mapping[str, Any], dimension: str | None) -> ParsedFile:
    """With the coordinates that its record gives it, and those of its steps that are stored."""
    if dimension is None:
        return file
    if not file.given:
        file = give_coordinates(file, from_record(record), dimension)
    steps = record.get("steps")
    if steps is not None and file.steps is None:
        index = index_of(file, dimension)
        length = len(index) if index is not None else 0
        first, stop = steps[0], length if steps[1] is None else min(length, steps[1])
        file = trim(file, dimension, first, stop) if first < stop else file
    kind = record.get("kind")
    return as_kind(file, kind) if kind and not file.kind else file
