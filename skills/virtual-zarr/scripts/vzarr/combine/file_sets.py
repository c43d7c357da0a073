"""Files that belong together, and how the sets differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from vzarr.combine.compatibility import Difference
from vzarr.combine.joined_sets import find_lacks, join_lacking, note_lacks, whole
from vzarr.combine.overlap import repeated_steps
from vzarr.combine.plan import Way
from vzarr.combine.planned_set import find_ways, is_number
from vzarr.combine.recode import PACKING
from vzarr.combine.shown import show, show_step
from vzarr.combine.timeline import Timeline, as_numbers, find_timeline, spans_to_bins
from vzarr.formats.registry import FORMATS
from vzarr.virtualize.describe import RUN, STEP, Description, Variable, digest, json_value
from vzarr.virtualize.equality import same

UNTOLD = ("build_along", "flags", "repeats", "timeline", "lacks")
"""What the command says that builds a set."""


@dataclass
class FileSet:
    """Files that can stand side by side, in the order of their record coordinate.

    ``along`` is the record dimension or the scalar that becomes it, from ``begin`` to ``end``,
    usually by ``step``;
    ``variables`` are those of the first file; ``differences`` says what keeps that out of the first
    set; ``placeholders`` are datasets that are no variables, though VirtualiZarr returns them;
    ``ways`` in which variables whose chunks fill no regular grid become one array, several where
    the user has to choose; ``flags`` are options with which build asks nothing; ``build`` and
    ``combine`` are what to run.

    ``repeats``: neighbours overlap, and ``--overlap`` can leave the steps to one of them.
    ``build_along`` are the dimensions of the command that builds it, where they are not ``along``;
    ``timeline`` shows where something is; ``lacks``: numbers of the files without a variable.
    """

    file_format: str
    files: list[str]
    bytes: int
    references: int
    along: str | None
    lengths: list[int]
    variables: dict[str, Variable]
    begin: str | None = None
    end: str | None = None
    step: str | None = None
    gaps: list[str] = field(default_factory=list)
    overlaps: list[str] = field(default_factory=list)
    build_along: tuple[str, ...] = ()
    partial_chunks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    placeholders: list[str] = field(default_factory=list)
    ways: dict[str, list[Way]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    repeats: bool = False
    build: str = ""
    combine: str | None = None
    timeline: Timeline | None = None
    lacks: dict[str, list[int]] = field(default_factory=dict)

    @property
    def is_refused(self) -> bool:
        """Whether no option of ``build`` takes all of its files."""
        return bool(self.overlaps) and not self.repeats and not self.build_along

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        variables = {name: variable.as_json() for name, variable in self.variables.items()}
        ways = {name: [way.as_json() for way in each] for name, each in self.ways.items()}
        told = {key: value for key, value in vars(self).items() if key not in UNTOLD}
        return {**told, "variables": variables, "ways": ways}


def record_dimension(description: Description) -> str | None:
    """The dimension, or the scalar time, that files of this kind continue along; None if unclear.

    An unlimited dimension if there is one, else that of a decoded time coordinate.
    """
    dims = {dim for variable in description.variables.values() for dim in variable.dims}
    unlimited = [dim for dim in description.unlimited if dim in dims]
    times = list(
        dict.fromkeys(
            path.rpartition("/")[2]
            for path, values in description.coordinates.items()
            if values.ndim and _is_time(values)
        )
    )
    candidates = [dim for dim in unlimited if dim in times] or unlimited or times
    if not candidates:
        scalars = [path for path, values in description.coordinates.items() if not values.ndim]
        candidates = [path for path in scalars if _is_time(description.coordinates[path])]
    return candidates[0] if len(candidates) == 1 else None


def _is_time(values: np.ndarray) -> bool:
    if values.dtype == object and values.size:
        return hasattr(values.flat[0], "calendar")
    return values.dtype.kind == "M"


def split_by_layout(
    described: list[Description], concat_dim: str | None
) -> list[tuple[str | None, list[Description]]]:
    """Files that can stand side by side, in sets.

    Returns
    -------
    list of (str or None, list of Description)
        The record dimension of each set, and its files.
    """
    sets: dict[tuple, list[Description]] = {}
    for description in described:
        along = concat_dim or record_dimension(description)
        sets.setdefault((along, *signature(description, along)), []).append(description)
    return join_lacking([(key[0], group) for key, group in sets.items()], _traits)


def signature(description: Description, along: str | None) -> tuple:
    """What is equal for files that can stand side by side."""
    return (
        description.file_format,
        *sorted(
            (path, *map(repr, _traits(path, variable, along).values()))
            for path, variable in description.variables.items()
        ),
        *sorted((path, digest(values)) for path, values in _static(description, along)),
    )


def _traits(path: str, variable: Variable, along: str | None) -> dict[str, Any]:
    """What must agree between files, in the words of a sentence that says that it does not."""
    sizes = zip(variable.dims, variable.shape, strict=True)
    traits: dict[str, Any] = {
        "the tuple of dimensions": variable.dims,
        **{f"the length of {dim}": size for dim, size in sizes if dim != along},
        "the kind of storage": variable.storage,
    }
    is_planned = is_number(variable) and along in variable.dims
    if variable.storage == "virtual" and not is_planned:
        traits["the dtype"] = variable.dtype
        chunks = zip(variable.dims, variable.chunks or (), strict=True)
        traits["the chunk shape"] = tuple(size for dim, size in chunks if dim != along)
        traits["the list of codecs"] = variable.codecs
    is_clock = variable.storage == "loaded" and " since " in str(variable.encoding.get("units"))
    for key, value in variable.encoding.items():
        # Times that are stored as numbers are encoded anew, so each file may have its epoch.
        if not (is_clock and key != "calendar") and not (is_planned and key in PACKING):
            traits[key] = json_value(value)
    return traits


def _static(description: Description, along: str | None) -> Iterator[tuple[str, np.ndarray]]:
    """The coordinates that all files must share."""
    for path, values in description.coordinates.items():
        if along not in (path, path.rpartition("/")[2]) and values.ndim:
            yield path, values


def differences(first: Description, other: Description, along: str | None) -> list[Difference]:
    """Everything that keeps a file out of the set of another one."""
    different: list[Difference] = []

    def differ(path: str, what: str, value: Any, expected: Any, **more: str) -> None:
        different.append(
            Difference(other.source.url, path, what, value, expected, first.source.url, **more)
        )

    if first.file_format != other.file_format:
        differ("", "the format", *(FORMATS[f.file_format].title for f in (other, first)))
        return different
    if first.variables.keys() != other.variables.keys():
        names = [", ".join(sorted(file.variables)) for file in (other, first)]
        differ("", "the list of variables", *names)
    for path in sorted(first.variables.keys() & other.variables.keys()):
        mine = _traits(path, other.variables[path], along)
        theirs = _traits(path, first.variables[path], along)
        for what in dict.fromkeys([*theirs, *mine]):
            if not same(mine.get(what), theirs.get(what)):
                differ(path, what, mine.get(what), theirs.get(what))
    expected = dict(_static(first, along))
    for path, values in _static(other, along):
        if path not in expected or values.shape != expected[path].shape:
            continue
        if digest(values) != digest(expected[path]):
            differ(path, *_coordinate_difference(values, expected[path]))
    return different


def brief(item: Difference) -> str:
    """Without the two files and the advice, which are the same for a whole set."""
    name = f"{item.variable}: " if item.variable else ""
    return f"{name}{item.what} is {show(item.value)}, not {show(item.expected)}"


def _coordinate_difference(values: np.ndarray, expected: np.ndarray) -> tuple[str, Any, Any]:
    """The first pair that differs; for numbers that are close, that it is jitter."""
    where = int(np.argmax(values != expected))
    what = f"the value at {where}"
    if values.dtype.kind in "iuf" and np.allclose(values, expected, rtol=1e-5, equal_nan=True):
        largest = float(np.nanmax(np.abs(values.astype(float) - expected.astype(float))))
        what = f"(jitter of at most {largest:.2g}) the value at {where}"
    return what, values[where], expected[where]


def describe_set(group: list[Description], along: str | None) -> FileSet:
    """One set of files, in the order of their record coordinate."""
    name = _record_coordinate(group[0], along)
    values = {item.source.url: _record_values(item, along) for item in group}
    if name and all(array.size for array in values.values()):
        group = sorted(group, key=lambda item: values[item.source.url][0])
    first = whole(group)
    file_set = FileSet(
        file_format=first.file_format,
        files=[item.source.url for item in group],
        bytes=sum(item.source.size for item in group),
        references=sum(item.references for item in group),
        along=along,
        lengths=[_length(item, along) for item in group],
        variables=first.variables,
        placeholders=sorted({name for item in group for name in item.placeholders}),
    )
    if name:
        _note_order(file_set, [(url, values[url]) for url in file_set.files])
    elif along and len(group) > 1:
        file_set.notes.append(
            f"no coordinate along {along}: the files lie in the order of their names, or as given"
        )
    file_set.notes += note_lacks(group, first)
    file_set.lacks = find_lacks(group, first)
    if along and not _is_held(first, along):
        file_set.notes.append(
            f"no file has a dimension or variable {along}: it is a new dimension, along which each "
            "file is one step"
        )
    if file_set.overlaps and (dims := _forecast_dims(group)):
        file_set.notes.append(
            f"forecasts that overlap: the command combines them along {' and '.join(dims)}"
        )
        file_set.build_along = dims
    if along:
        _note_partial_chunks(file_set, group, along)
        counts = _repeated(file_set, group, name)
        file_set.ways, file_set.flags = find_ways(group, along, counts)
    elif len(group) > 1:
        file_set.notes.append(
            "no single dimension along which these files continue: name it with --concat-dim"
        )
    return file_set


def _repeated(file_set: FileSet, group: list[Description], name: str | None) -> list[int]:
    """How many first steps of each file the one before it has, where that is all that overlaps."""
    values = [_record_values(item, name) for item in group]
    counts = [0] * len(group)
    if not file_set.overlaps or file_set.build_along:
        return counts
    for number, (before, after) in enumerate(pairwise(values), 1):
        if after[0] <= before[-1]:
            counts[number] = repeated_steps(before, after)
    is_all = sum(map(bool, counts)) == len(file_set.overlaps)
    file_set.repeats = is_all
    return counts if is_all else [0] * len(group)


def _forecast_dims(group: list[Description]) -> tuple[str, ...]:
    """Along what forecasts lie: a file for each run, or for each run and step; else nothing."""
    if any(len(item.runs) != 1 for item in group):
        return ()
    runs = set.union(*(item.runs for item in group))
    if len(runs) == len(group):
        return (RUN,)
    steps = {frozenset(item.steps) for item in group}
    places = {(*item.runs, frozenset(item.steps)) for item in group}
    is_full = len(places) == len(group) == len(runs) * len(steps)
    return (RUN, STEP) if is_full else ()


def _is_held(description: Description, name: str) -> bool:
    """Whether a file has a dimension or variable of a name, in any group."""
    return any(
        name in (path.rpartition("/")[2], *variable.dims)
        for path, variable in description.variables.items()
    )


def _record_coordinate(description: Description, along: str | None) -> str | None:
    paths = [path for path in description.coordinates if along in (path, path.rpartition("/")[2])]
    return paths[0] if paths else None


def _record_values(description: Description, along: str | None) -> np.ndarray:
    name = _record_coordinate(description, along)
    return np.atleast_1d(description.coordinates[name]) if name else np.array([])


def _length(description: Description, along: str | None) -> int:
    for variable in description.variables.values():
        if along in variable.dims:
            return variable.shape[variable.dims.index(along)]
    return 1


def _note_order(file_set: FileSet, values: list[tuple[str, np.ndarray]]) -> None:
    values = [(url, array) for url, array in values if array.size]
    if not values:
        file_set.notes.append(f"{file_set.along} is empty in every file")
        return
    for url, array in values:
        if array.size > 1 and not (array[1:] > array[:-1]).all():
            file_set.overlaps.append(f"{url}: {file_set.along} does not increase strictly")
    every = np.concatenate([array for _, array in values])
    file_set.begin, file_set.end = show(every[0]), show(values[-1][1][-1])
    if every.size < 2:
        return
    file_set.timeline = _timeline(every, [array for _, array in values])
    steps = every[1:] - every[:-1]
    forward = [step for step in steps.tolist() if step > type(step)(0)]
    if not forward:
        return
    usual = Counter(forward).most_common(1)[0][0]
    file_set.step = show_step(steps[steps.tolist().index(usual)])
    for (before, left), (url, right) in pairwise(values):
        if right[0] <= left[-1]:
            file_set.overlaps.append(
                f"{url}: begins at {show(right[0])}, but {before} ends at {show(left[-1])}"
            )
    # Months and years differ in length; half a step more is a gap in any calendar.
    middle = sorted(forward)[len(forward) // 2]
    for (left, right), step in zip(pairwise(every), steps.tolist(), strict=True):
        if step > middle * 1.5:
            file_set.gaps.append(f"nothing between {show(left)} and {show(right)}")


def _timeline(every: np.ndarray, files: list[np.ndarray]) -> Timeline | None:
    """The records of all files, and where those of two overlap."""
    line = find_timeline(every)
    if line is None:
        return None
    spans = [numbers for array in files if (numbers := as_numbers(array)) is not None]
    both = [
        (right[0], min(left[-1], right[-1]))
        for left, right in pairwise(spans)
        if right[0] <= left[-1]
    ]
    marks = {"overlap": spans_to_bins(every, both)} if both else {}
    return replace(line, marks=marks)


def _note_partial_chunks(file_set: FileSet, group: list[Description], along: str) -> None:
    for path, variable in file_set.variables.items():
        if variable.storage != "virtual" or along not in variable.dims:
            continue
        axis = variable.dims.index(along)
        partial = [
            (item.source.url, length, chunk)
            for item in group[:-1]
            if path in item.variables
            and (length := item.variables[path].shape[axis])
            % (chunk := max(1, (item.variables[path].chunks or variable.shape)[axis]))
        ]
        if partial:
            url, length, chunk = partial[0]
            file_set.partial_chunks.append(
                f"{path}: {len(partial)} files end in a partial chunk along {along}, as {url} "
                f"(length {length}, chunk {chunk}): only the last file may"
            )
