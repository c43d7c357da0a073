"""Which old sources a change is compared with, beside the files that it writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vzarr.combine.file_steps import is_gap
from vzarr.repository.history import what_changed
from vzarr.sources.discover import Source, SourceRecord, look_up_all
from vzarr.sources.schemes import Access
from vzarr.verification.open import spread


def as_they_were(
    numbers: Iterable[int], records: Sequence[SourceRecord], access: Access
) -> list[int]:
    """Those sources, by number, that are there as they were when they were committed.

    One that was removed and left a gap needs no file.
    """
    ordered = sorted(numbers)
    now = look_up_all([records[number]["url"] for number in ordered], access)
    return [
        number
        for number in ordered
        if is_gap(records[number])
        or (
            isinstance(state := now[records[number]["url"]], Source)
            and not what_changed(records[number], state)
        )
    ]


def sample_of(records: Sequence[SourceRecord], count: int, access: Access) -> list[int]:
    """Some of all sources, the first and the last among them, as far as they are as they were."""
    return as_they_were(spread(len(records), count), records, access)
