"""Fields of a file by its index: what is not selected is never read.

The first file of a series has the headers of all selected messages read. Of a later one only the
first is, which has to be like that of an earlier file in all but time; the times of the others
stand in the index.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from vzarr.errors import InputError
from vzarr.formats.grib.fields import Field, read_field
from vzarr.formats.grib.index import Entry
from vzarr.formats.grib.messages import Message

HEADER = 16 * 1024
"""Bytes of a message that are read for its headers; of more the whole message is."""
UNITS = {"hour": "h", "min": "m", "day": "D"}
STEP = re.compile(r"(?:(\d+)-)?(\d+) (hour|min|day)\b.*\bfcst")
Ranges = Callable[[list[tuple[int, int]]], list[bytes]]
"""Reads several ranges of a file, each by its start and its length."""

_patterns: dict[tuple[str, ...], dict[str, Field]] = {}
"""Fields of files that were read before in this process, by selection and kind."""


def fields_by_index(
    url: str, entries: list[Entry], selection: tuple[str, ...], read: Ranges
) -> tuple[list[Field], bool]:
    """The fields of the entries that were selected, and whether they are as in an earlier file.

    Raises
    ------
    InputError
        If the index is of another file.
    """
    known = _patterns.setdefault(selection, {})
    if all(entry.kind in known for entry in entries):
        (first,) = _read_headers(url, entries[:1], read)
        fields_of_kind = [_like(known[entry.kind], entry, first) for entry in entries[1:]]
        if _is_like(first, known[entries[0].kind]) and None not in fields_of_kind:
            return [first, *(item for item in fields_of_kind if item is not None)], True
    fields = _read_headers(url, entries, read)
    known.update({entry.kind: item for entry, item in zip(entries, fields, strict=True)})
    return fields, False


def _read_headers(url: str, entries: list[Entry], read: Ranges) -> list[Field]:
    several = {entry.offset for entry in entries if entry.part}
    sizes = [
        entry.length if entry.offset in several else min(HEADER, entry.length) for entry in entries
    ]
    places = [(entry.offset, size) for entry, size in zip(entries, sizes, strict=True)]
    fields = []
    for entry, octets in zip(entries, read(places), strict=True):
        message = Message(entry.offset, entry.length, entry.part + 1)
        if octets[:4] != b"GRIB":
            raise InputError(
                f"{url}: no message begins at byte {entry.offset}, as its index says: the index is "
                "of another file; remove it."
            )
        if octets[7] != 2 or not _holds_headers(octets):
            (octets,) = read([(entry.offset, entry.length)])
        if octets[7] == 2:
            message = replace(message, length=int.from_bytes(octets[8:16], "big"))
        fields.append(read_field(url, octets, message, entry.part))
    return fields


def _holds_headers(octets: bytes) -> bool:
    at = 16
    while at + 5 <= len(octets):
        if octets[at + 4] >= 6:
            return True
        at += int.from_bytes(octets[at : at + 4], "big")
    return False


def _is_like(item: Field, other: Field) -> bool:
    """Whether two fields differ in nothing but their time and their place in the file."""
    moments: dict[str, Any] = {key: getattr(item, key) for key in ("reference", "start", "end")}
    return replace(other, offset=item.offset, length=item.length, **moments) == item


def _like(known: Field, entry: Entry, first: Field) -> Field | None:
    """A field of an earlier file at the time of an entry; none if the entry does not tell it."""
    moments = _moments(known, entry, first.reference)
    if moments is None:
        return None
    start, end = moments
    field = replace(known, reference=first.reference, start=start, end=end)
    return replace(field, offset=entry.offset, length=entry.length, part=entry.part)


def _moments(
    known: Field, entry: Entry, reference: np.datetime64
) -> tuple[np.datetime64, np.datetime64] | None:
    if "d" not in entry.keys:
        step = entry.keys.get("step", "")
        if not step.isdigit() or (known.is_statistic and known.start != known.reference):
            return None
        end = reference + int(step) * np.timedelta64(1, "h")
        return (reference if known.is_statistic else end), end
    if entry.keys["step"] == "anl":
        return reference, reference
    told = STEP.fullmatch(entry.keys["step"])
    if told is None or known.is_statistic != bool(told[1]):
        return None
    unit = np.timedelta64(1, UNITS[told[3]])  # type: ignore[call-overload]
    end = reference + int(told[2]) * unit
    return (reference + int(told[1]) * unit if told[1] else end), end
