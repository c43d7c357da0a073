"""The page of files before a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vzarr.combine.copied import show_bytes
from vzarr.pages.page import Lane, Page, Section, TimelineView, VariableRow, made_by
from vzarr.reports.costs import costs, counted
from vzarr.reports.timelines import SENTENCES, in_percent, record_lanes
from vzarr.repository.strips import BINS

if TYPE_CHECKING:
    from vzarr.combine.file_sets import FileSet
    from vzarr.commands.inspect import Inspected

LISTED = "inspected.json"
"""The name of the file from which a command takes more files than it can name."""
SETS, DRAWN = 10, 40
"""Sets that a page shows, and variables of each that it draws; it lists the others."""


def report_files(inspected: Inspected) -> Page:
    """The page of files before a build, of what ``inspect`` returns."""
    sets = inspected.sets[:SETS]
    sections = [_set_section(each, number, len(inspected.sets)) for number, each in enumerate(sets)]
    more = len(inspected.sets) - len(sets)
    broken = list(inspected.unreadable.values())
    notes = [f"{more} more sets: inspect --json lists them"] * bool(more) + broken[:SENTENCES]
    if len(broken) > SENTENCES:
        notes.append(f"and {len(broken) - SENTENCES} more files that cannot be used")
    first = inspected.sets[0].files[0] if inspected.sets else "no file"
    facts = [
        ("files", f"{inspected.files:,}, {show_bytes(inspected.bytes)}"),
        ("sets", f"{len(inspected.sets)}: files of one set can stand side by side"),
        ("unreadable", f"{len(inspected.unreadable)}"),
    ]
    title = f"{inspected.files:,} files, as {first}"
    return Page(title=title, facts=facts, sections=sections, notes=notes, made=made_by())


def _set_section(file_set: FileSet, number: int, total: int) -> Section:
    title = f"set {number + 1} of {total}, {len(file_set.files):,} files" if total > 1 else ""
    timelines = set_timelines(file_set)
    notes = [f"differs from set 1: {each}" for each in file_set.differences[:SENTENCES]]
    notes += file_set.notes[:SENTENCES]
    if LISTED in file_set.build:
        notes.append(f"{LISTED} of the command is what inspect --json prints of these files")
    rows = [_planned_row(path, file_set) for path in file_set.variables]
    drawn = [row for row in rows if row.shares][:DRAWN]
    others = [row for row in rows if row not in drawn]
    return Section(title, timelines, drawn, others, notes, file_set.build)


def set_timelines(file_set: FileSet, before: str = "") -> list[TimelineView]:
    """The records of a set of files as a timeline; none where they have no coordinate.

    ``before``: words in front of its name.
    """
    line = file_set.timeline
    if line is None:
        return []
    name = f"{file_set.along}, step {file_set.step}" if file_set.step else str(file_set.along)
    gaps = [f"missing: {gap}" for gap in file_set.gaps]
    overlaps = [f"overlap: {each}" for each in file_set.overlaps]
    lanes = record_lanes(line, "; ".join(file_set.gaps[:SENTENCES]))
    for label, shares in line.marks.items():
        text = f"{len(overlaps)} files overlap: {'; '.join(file_set.overlaps[:3])}"
        lanes.append(Lane(label, "odd", shares, text))
    odd = [*gaps, *overlaps]
    more = max(0, len(odd) - SENTENCES)
    limits = (line.begin, line.end)
    return [TimelineView(before + name, *limits, lanes, odd[:SENTENCES], more, in_percent(line))]


def _planned_row(path: str, file_set: FileSet) -> VariableRow:
    variable = file_set.variables[path]
    shape = list(variable.shape)
    if file_set.along in variable.dims:
        shape[variable.dims.index(file_set.along)] = sum(file_set.lengths)
    chunks = variable.chunks or variable.shape
    series, picture = costs(variable.dims, shape, chunks, file_set.along or "", 0)
    is_virtual = variable.storage == "virtual"
    is_drawn = file_set.along in variable.dims and variable.storage in ("virtual", "native")
    return VariableRow(
        path=path,
        dims=", ".join(variable.dims),
        shape=" x ".join(f"{size:,}" for size in shape),
        chunks=" x ".join(map(str, variable.chunks or ())),
        dtype=variable.dtype,
        codecs=", ".join(variable.codecs),
        state=_state(variable.storage, len(file_set.lacks.get(path, ()))),
        series=series if is_virtual else "",
        map=picture if is_virtual else "",
        reason=variable.reason or "; ".join(str(way) for way in file_set.ways.get(path, ())),
        shares=_shares(path, file_set) if is_drawn else {},
        begin=str(file_set.begin),
        end=str(file_set.end),
    )


def _state(storage: str, lacking: int) -> str:
    return f"{storage}; missing in {counted(lacking, 'file')}" if lacking else storage


def _shares(path: str, file_set: FileSet) -> dict[str, np.ndarray]:
    """What would become of a variable, file after file: missing where one lacks it."""
    lengths = np.array(file_set.lengths)
    total, bins = int(lengths.sum()), min(BINS, int(lengths.sum()))
    lacking = file_set.lacks.get(path, [])
    has = np.ones(len(lengths))
    has[lacking] = 0
    at = np.arange(total) * bins // max(1, total)
    there = np.bincount(at, np.repeat(has, lengths), bins) / np.bincount(at, minlength=bins)
    kind = file_set.variables[path].storage
    way = next(iter(file_set.ways.get(path, ())), None)
    if way is None:
        return {kind: there}
    virtual = way.virtual / max(1, way.virtual + way.native)
    return {"virtual": there * virtual, "native": there * (1 - virtual)}
