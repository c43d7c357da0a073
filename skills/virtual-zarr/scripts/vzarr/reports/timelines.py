"""Record coordinates of a store as lines, with what is odd in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import icechunk
import numpy as np

from vzarr.combine.timeline import as_numbers, find_timeline, spans_to_bins
from vzarr.errors import is_failure
from vzarr.pages.page import Lane, TimelineView
from vzarr.verification.open import open_store

if TYPE_CHECKING:
    from vzarr.combine.store_metadata import StoreMetadata
    from vzarr.commands.show import Shown

SENTENCES = 20
"""Gaps and the like that a page lists; the others are counted."""
WORDS = {
    "replaced": "took the place of others",
    "late": "were written after files of later records",
    "lacking": "lack variables of the others",
    "overlap": "overlap the file before them",
}
"""What a lane says of its files."""


def record_dimensions(shown: Shown, ledger: StoreMetadata | None) -> dict[str, str]:
    """The record dimension of each group."""
    if ledger is not None:
        groups = ledger["groups"].items()
        return {path: str(group["concat_dim"]) for path, group in groups if group["concat_dim"]}
    return {path.rpartition("/")[0]: path.rpartition("/")[2] for path in reversed(shown.coverage)}


def timelines(
    store: icechunk.IcechunkStore, shown: Shown, ledger: StoreMetadata | None
) -> Iterator[TimelineView]:
    """One for each record coordinate; groups with the same values share one."""
    along = record_dimensions(shown, ledger)
    views: dict[bytes, tuple[list[str], np.ndarray, str]] = {}
    for path in shown.coverage:
        group, _, name = path.rpartition("/")
        if along.get(group, name) != name:
            continue
        try:
            values = open_store(store, group)[name].values
        except BaseException as error:
            if not is_failure(error):
                raise
            continue
        numbers = as_numbers(values)
        if numbers is None or numbers.size < 2:
            continue
        views.setdefault(numbers.tobytes(), ([], values, path))[0].append(path)
    for paths, values, path in views.values():
        view = _timeline(values, ", ".join(paths), _source_marks(values, path, ledger))
        if view is not None:
            covered = shown.coverage[path]
            gaps = [f"nothing between {left} and {right}" for left, right in covered.gaps]
            if not covered.is_ordered:
                gaps.insert(0, f"{path} neither increases nor decreases strictly")
            yield TimelineView(
                view.name,
                view.begin,
                view.end,
                view.lanes,
                [*gaps[:SENTENCES], *view.sentences],
                max(0, len(gaps) - SENTENCES),
            )


def _timeline(
    values: np.ndarray, name: str, spans: dict[str, list[tuple[float, float]]]
) -> TimelineView | None:
    line = find_timeline(values)
    if line is None:
        return None
    absent = 1 - line.shares
    span = f"from {line.begin} to {line.end}"
    share = line.shares.mean()
    lanes = [Lane("records", "there", line.shares, f"{share:.1%} of the time {span} has records")]
    if absent.any():
        count = int(np.count_nonzero(np.diff(np.concatenate([[0], absent > 0])) == 1))
        text = f"{count} places without records {span}"
        lanes.append(Lane("missing", "odd", absent, text))
    sentences = []
    for label, each in spans.items():
        if each:
            kind = {"overlap": "odd"}.get(label, label)
            text = f"{len(each)} files {WORDS[label]}"
            lanes.append(Lane(label, kind, spans_to_bins(values, each), text))
            sentences.append(text)
    return TimelineView(name, line.begin, line.end, lanes, sentences)


def _source_marks(
    values: np.ndarray, path: str, ledger: StoreMetadata | None
) -> dict[str, list[tuple[float, float]]]:
    """Spans, in numbers, of files that are odd."""
    group = path.rpartition("/")[0]
    numbers = as_numbers(values)
    if ledger is None or group not in ledger["groups"] or numbers is None:
        return {}
    lengths = np.array(ledger["groups"][group]["lengths"])
    stops = np.cumsum(lengths)
    if not len(stops) or stops[-1] != numbers.size:
        return {}
    records = ledger["sources"]
    moved = {record["by"] for record in ledger["replaced"]}
    written = [record["last_modified"] for record in records]
    earliest = ""
    late = [False] * len(records)
    for number in range(len(records) - 1, -1, -1):
        late[number] = bool(earliest) and bool(lengths[number]) and written[number] > earliest
        earliest = min(earliest or written[number], written[number])
    spans: dict[str, list[tuple[float, float]]] = {"replaced": [], "late": [], "lacking": []}
    for number, record in enumerate(records):
        length = max(int(lengths[number]), int(record.get("covers", 0)))
        if not length:
            continue
        stop = int(stops[number])
        span = (float(numbers[stop - length]), float(numbers[stop - 1]))
        if record["url"] in moved:
            spans["replaced"].append(span)
        if late[number]:
            spans["late"].append(span)
        if record.get("lacks"):
            spans["lacking"].append(span)
    return spans
