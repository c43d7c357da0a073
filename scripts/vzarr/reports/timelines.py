"""Record coordinates of a store as lines, with what is odd in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

import icechunk
import numpy as np

from vzarr.combine.file_steps import is_gap
from vzarr.combine.timeline import Timeline, as_numbers, find_timeline, spans_to_bins
from vzarr.errors import is_failure
from vzarr.pages.page import Lane, TimelineView
from vzarr.reports.costs import counted
from vzarr.verification.open import open_store

if TYPE_CHECKING:
    from vzarr.combine.coverage import Coverage
    from vzarr.combine.store_metadata import StoreMetadata
    from vzarr.commands.show import Shown
    from vzarr.sources.discover import SourceRecord

SENTENCES, FEW = 20, 5
"""Gaps and the like that a page lists, and a notebook; the others are counted."""
WORDS = {
    "replaced": "in the place of other files",
    "late": "written after files of later records",
    "lacking": "without variables of the others",
    "incomplete": "with places for which there is no file",
    "overlap": "that two files have, of which one is shown",
    "removed": "taken out, whose place is left empty",
    "differs": "that verification found to differ",
}
"""What a lane says of its files; of records where something is incomplete or overlaps."""
NOUNS = {"incomplete": "record", "overlap": "stretch of records"}
"""What a lane counts where it counts no files."""
LATE = 0.2
"""The share of the files up to which being late says something: else they were copied anew."""


def record_dimensions(shown: Shown, ledger: StoreMetadata | None) -> dict[str, str]:
    """The record dimension of each group."""
    if ledger is not None:
        groups = ledger["groups"].items()
        return {path: str(group["concat_dim"]) for path, group in groups if group["concat_dim"]}
    return {path.rpartition("/")[0]: path.rpartition("/")[2] for path in reversed(shown.coverage)}


def timelines(
    store: icechunk.IcechunkStore,
    shown: Shown,
    ledger: StoreMetadata | None,
    failed: Set[str] = frozenset(),
) -> Iterator[TimelineView]:
    """One for each record coordinate; groups with the same values share one.

    ``failed``: files that verification found to differ.
    """
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
        view = _timeline(values, ", ".join(paths), _source_marks(values, path, ledger, failed))
        if view is not None:
            covered = shown.coverage[path]
            gaps = [f"missing: nothing between {left} and {right}" for left, right in covered.gaps]
            if not covered.is_ordered:
                gaps.insert(0, f"{path} neither increases nor decreases strictly")
            yield replace(
                view,
                name=f"{view.name}, step {covered.step}" if covered.step else view.name,
                sentences=[*gaps[:SENTENCES], *view.sentences],
                more=max(0, len(gaps) - SENTENCES),
            )


def _timeline(
    values: np.ndarray, name: str, spans: dict[str, list[tuple[float, float]]]
) -> TimelineView | None:
    line = find_timeline(values)
    if line is None:
        return None
    lanes = record_lanes(line)
    sentences = []
    for label, each in spans.items():
        if each:
            noun = NOUNS.get(label, "file")
            text = f"{counted(len(each), noun)} {WORDS[label]}"
            lanes.append(Lane(label, label, spans_to_bins(values, each), text))
            sentences.append(f"{label}: {text}")
    return TimelineView(name, line.begin, line.end, lanes, sentences, ticks=in_percent(line))


def record_lanes(line: Timeline, gaps: str = "") -> list[Lane]:
    """Where records are, and where none are, which ``gaps`` says in words."""
    span = f"from {line.begin} to {line.end}"
    words = f"{line.shares.mean():.1%} of the time {span} has records"
    lanes = [Lane("records", "there", line.shares, words)]
    absent = 1 - line.shares
    if absent.any():
        count = int(np.count_nonzero(np.diff(np.concatenate([[0], absent > 0])) == 1))
        text = f"{counted(count, 'place')} without records {span}{gaps and f': {gaps}'}"
        lanes.append(Lane("missing", "odd", absent, text))
    return lanes


def coverage_view(name: str, covered: Coverage) -> TimelineView | None:
    """What a record coordinate covers, as a timeline; None where it has no distances."""
    line = covered.timeline
    if line is None:
        return None
    gaps = [f"missing: nothing between {left} and {right}" for left, right in covered.gaps]
    step = f", step {covered.step}" if covered.step else ""
    limits, more = (line.begin, line.end), max(0, len(gaps) - FEW)
    lanes = record_lanes(line)
    return TimelineView(f"{name}{step}", *limits, lanes, gaps[:FEW], more, in_percent(line))


def in_percent(line: Timeline) -> list[tuple[float, str]]:
    """The marks of a timeline's axis."""
    return [(100 * place, label) for place, label in line.ticks]


def _source_marks(
    values: np.ndarray, path: str, ledger: StoreMetadata | None, failed: Set[str]
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
    late = _late(records, lengths)
    spans: dict[str, list[tuple[float, float]]] = {label: [] for label in WORDS}
    spans["incomplete"] = _incomplete(records, lengths, numbers)
    for number, record in enumerate(records):
        length = max(int(lengths[number]), int(record.get("covers", 0)))
        if not length:
            continue
        stop = int(stops[number])
        span = (float(numbers[stop - length]), float(numbers[stop - 1]))
        odd = {
            "replaced": record["url"] in moved,
            "late": number in late,
            "lacking": bool(record.get("lacks")),
            "removed": is_gap(record),
            "differs": record["url"] in failed,
        }
        for label in (label for label, is_so in odd.items() if is_so):
            spans[label].append(span)
        if "steps" in record:
            spans["overlap"] += _overlaps(record["steps"], stop - length, stop, numbers)
    return spans


def _overlaps(
    steps: Sequence[int | None], start: int, stop: int, numbers: np.ndarray
) -> list[tuple[float, float]]:
    """Records that a file has, too, but that were left to the one before it, or behind it."""
    first, last = steps
    before = slice(max(0, start - (first or 0)), start)
    behind = slice(stop, stop + 1 if last is not None else stop)  # how many it has nothing tells
    parts = (numbers[before], numbers[behind])
    return [(float(part[0]), float(part[-1])) for part in parts if part.size]


def _late(records: Sequence[SourceRecord], lengths: np.ndarray) -> set[int]:
    """Numbers of files that were written after one of later records."""
    written = [record["last_modified"] for record in records]
    earliest = ""
    late = set()
    for number in range(len(records) - 1, -1, -1):
        if earliest and lengths[number] and written[number] > earliest:
            late.add(number)
        earliest = min(earliest or written[number], written[number])
    return late if len(late) <= max(1, LATE * len(records)) else set()


def _incomplete(
    records: Sequence[SourceRecord], lengths: np.ndarray, numbers: np.ndarray
) -> list[tuple[float, float]]:
    """Records of a cube, as runs, with places along its second dimension without a file."""
    size = max((record["within"][2] for record in records if "within" in record), default=0)
    if not size:
        return []
    filled = np.zeros(len(numbers), int)
    stops = np.cumsum(lengths)
    for number, record in enumerate(records):
        _, begin, end = record["within"]
        steps = int(record.get("covers", lengths[number]))
        filled[int(stops[number]) - steps : int(stops[number])] += end - begin
    rows = np.flatnonzero(filled < size)
    return [(float(numbers[row]), float(numbers[row])) for row in rows]
