"""Which records a removal is of: those of files, or those in a range of the record dimension."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import icechunk
import numpy as np
import pandas as pd

from vzarr.combine.file_steps import blocks_of, is_gap
from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import as_url
from vzarr.verification.open import open_store


@dataclass(frozen=True)
class Choice:
    """``rows`` by group that grows: whether each goes. ``absent`` files were removed before."""

    rows: dict[str, np.ndarray]
    absent: tuple[str, ...] = ()


def choose_files(
    patterns: Sequence[str], location: str, metadata: StoreMetadata, keep_axis: bool
) -> Choice:
    """All records of the files that patterns name, also of files that are gone.

    Raises
    ------
    InputError
        If a pattern names no source.
    Refused
        If files that are not named have the same records.
    """
    sources = metadata["sources"]
    numbers: set[int] = set()
    absent: list[str] = []
    known_removed = [record["url"] for record in metadata.get("removed", [])]
    for pattern in patterns:
        url = as_url(pattern)
        numbers_of = [n for n, record in enumerate(sources) if _is_named(record["url"], url)]
        before = [known for known in known_removed if _is_named(known, url)]
        if not numbers_of and not before:
            raise InputError(
                f"{url}: no source of {location} has this name; it has {len(sources)}, from "
                f"{sources[0]['url']} to {sources[-1]['url']}."
            )
        numbers |= {n for n in numbers_of if not (keep_axis and is_gap(sources[n]))}
        absent += before
    for block in blocks_of(sources):
        others = [n for n in block if n not in numbers]
        if others and len(others) < len(block):
            url = sources[next(n for n in block if n in numbers)]["url"]
            raise Refused(
                f"{url}: {sources[others[0]]['url']} has the same records: name all files of them. "
                "Nothing was committed."
            )
    rows = {}
    for group, stored_group in stored_groups(metadata).items():
        if stored_group["concat_dim"] is not None:
            marks = [n in numbers for n in range(len(sources))]
            rows[group] = np.repeat(marks, stored_group["lengths"])
    return Choice(rows, tuple(absent))


def _is_named(url: str, pattern: str) -> bool:
    # As a shell does: a star matches no slash.
    return url == pattern or (url.count("/") == pattern.count("/") and fnmatchcase(url, pattern))


def choose_values(
    text: str, store: icechunk.IcechunkStore, location: str, metadata: StoreMetadata
) -> Choice:
    """Records by their value, ``FIRST..LAST``, both included; either may be left out.

    Raises
    ------
    InputError
        If the text has another form, or there is no such coordinate or record.
    """
    first, last = _ends(text, "--records 2024-01-01..2024-01-03")
    rows = {}
    begin = end = None
    for group, stored_group in stored_groups(metadata).items():
        dimension = stored_group["concat_dim"]
        if dimension is None:
            continue
        index = open_store(store, group).indexes.get(dimension)
        total = sum(stored_group["lengths"])
        if index is None:
            raise InputError(
                f"{location}: {dimension} has no values by which records can be named: name them "
                "by their number, with --index FIRST..LAST."
            )
        begin, end = (index[0], index[-1]) if len(index) else (None, None)
        try:
            chosen = index.slice_indexer(_value(index, first), _value(index, last))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{text}: no range of {dimension}, whose values are from {begin} to {end}."
            ) from error
        rows[group] = _marked(total, chosen)
    if not any(marks.any() for marks in rows.values()):
        raise InputError(f"{text}: {location} has no such records; it has {begin} to {end}.")
    return Choice(rows)


def choose_index(text: str, location: str, metadata: StoreMetadata) -> Choice:
    """Records by their number from 0 on, ``FIRST..LAST``, both included.

    Raises
    ------
    InputError
        If the text has another form, or there are no such records.
    """
    first, last = _ends(text, "--index 0..23")
    rows = {}
    totals = {
        group: sum(stored_group["lengths"])
        for group, stored_group in stored_groups(metadata).items()
        if stored_group["concat_dim"] is not None
    }
    if len({*totals.values()}) != 1:
        raise InputError(
            f"{location}: its groups differ in their number of records, so a number names none: "
            "use --records FIRST..LAST."
        )
    for group, total in totals.items():
        try:
            start, stop = int(first or 0), int(last or total - 1) + 1
        except ValueError:
            raise InputError(f"{text}: not two numbers, as --index 0..23 has.") from None
        if not 0 <= start < stop <= total:
            raise InputError(f"{text}: {location} has the records 0..{total - 1}.")
        rows[group] = _marked(total, slice(start, stop))
    return Choice(rows)


def _ends(text: str, example: str) -> tuple[str, str]:
    first, dots, last = text.partition("..")
    if not dots or not (first or last):
        raise InputError(f"{text}: no range of records, as {example} is.")
    return first.strip(), last.strip()


def _value(index: pd.Index, text: str) -> object:
    """One end of a range: a text for times, of which a day stands for all of it; else a number."""
    if not text:
        return None
    return float(text) if index.dtype.kind in "iuf" else text


def _marked(total: int, chosen: slice) -> np.ndarray:
    marks = np.zeros(total, bool)
    marks[chosen] = True
    return marks
