"""Indexes that lie beside GRIB files: NOAA's ``.idx`` and ECMWF's ``.index``.

A line is a message: where it begins, and what it is, in words or in keys.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import obstore

from vzarr.errors import InputError
from vzarr.sources.content import Content
from vzarr.sources.schemes import object_store

_found: list[str] = [".idx", ".index"]
"""Endings of indexes, the last one that was found first: each other costs a request."""


@dataclass(frozen=True)
class Entry:
    """One line. ``part`` counts the fields of one message; ``keys`` is what it says of this one."""

    offset: int
    length: int
    part: int
    keys: dict[str, str] = field(hash=False)
    line: str

    @property
    def kind(self) -> str:
        """What it is, whatever its time: the same in each file of a series."""
        if "d" not in self.keys:
            left_out = {"date", "time", "step"}
            return json.dumps([pair for pair in self.keys.items() if pair[0] not in left_out])
        step = re.sub(r"\d+", "#", self.keys["step"])
        step = "fcst" if step in ("anl", "# hour fcst", "# min fcst", "# day fcst") else step
        return ":".join((self.keys["param"], self.keys["level"], step, self.keys["product"]))


def read_index(content: Content) -> list[Entry]:
    """The entries of the index beside a file; none if there is no index.

    Raises
    ------
    InputError
        If it is not of this file.
    """
    for ending in list(_found):
        stem, dot, suffix = content.url.rpartition(".")
        names = [content.url + ending]
        if ending == ".index" and dot and "/" not in suffix:
            names.insert(0, stem + ending)
        for name in names:
            if (text := _read(name, content)) is not None:
                _found.sort(key=lambda known: known != ending)
                return _parse(name, text, content)
    return []


def _read(url: str, content: Content) -> str | None:
    store, path = object_store(url, content.access)
    try:
        return bytes(obstore.get(store, path).bytes()).decode(errors="replace")
    except FileNotFoundError:
        return None


def _parse(name: str, text: str, content: Content) -> list[Entry]:
    try:
        entries = (
            _parse_json(text) if text.lstrip().startswith("{") else _parse_lines(text, content)
        )
    except (ValueError, KeyError, IndexError) as error:
        raise InputError(f"{name}: is no index of GRIB messages: {error}.") from error
    end = max((entry.offset + entry.length for entry in entries), default=0)
    if content.size and end > content.size:
        raise InputError(
            f"{name}: its last message ends at byte {end}, the file at {content.size}: it is of "
            "another file; build without --select, or remove it."
        )
    return entries


def _parse_json(text: str) -> list[Entry]:
    entries = []
    for line in text.splitlines():
        if not line.strip():
            continue
        keys: dict[str, Any] = json.loads(line)
        offset, length = int(keys.pop("_offset")), int(keys.pop("_length"))
        entries.append(Entry(offset, length, 0, {k: str(v) for k, v in keys.items()}, line))
    return entries


def _parse_lines(text: str, content: Content) -> list[Entry]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    rows = [line.split(":") for line in lines]
    offsets = [int(row[1]) for row in rows]
    # The last message ends with the file; one that begins behind it is told by the caller.
    starts = sorted({*offsets, max(content.size, max(offsets) + 1)})
    following = dict(pairwise(starts))
    parts: dict[int, int] = {}
    entries = []
    for line, row, offset in zip(lines, rows, offsets, strict=True):
        part = parts.get(offset, 0)
        parts[offset] = part + 1
        keys = {"d": row[2].removeprefix("d="), "param": row[3], "level": row[4], "step": row[5]}
        keys["product"] = ":".join(row[6:]).strip(":")
        entries.append(Entry(offset, following[offset] - offset, part, keys, line))
    return entries
