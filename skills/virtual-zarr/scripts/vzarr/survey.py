"""Many files side by side: which belong together, in what order, and what would be refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from vzarr.check import Difference, same
from vzarr.copying import Share, show_bytes
from vzarr.describe import Description, Variable, describe, digest, fetch_source, plain
from vzarr.errors import AccessDenied, InputError, Refused, is_failure, raise_fault
from vzarr.find import Source, find_sources
from vzarr.formats import FORMATS
from vzarr.parse import unreadable
from vzarr.report import aligned
from vzarr.storage import Access
from vzarr.text import drop_options, option, shell_word
from vzarr.trust import naming

THREADS = 16
"""Files that are fetched at a time; they are described one by one, for HDF5 has a single lock."""
SHOWN = 5
"""Differences, gaps and overlaps of one kind that are told; the rest is counted."""
NAMED_FILES = 50
"""Files up to which a command names each; more it takes from the JSON report."""
PARSERS = {
    "hdf5": ("virtualizarr.parsers", "HDFParser", "drop_variables"),
    "netcdf3": ("virtualizarr.parsers", "NetCDF3Parser", "skip_variables"),
}


@dataclass
class FileSet:
    """Files that can stand side by side, in the order of their record coordinate.

    ``along`` is the record dimension or the scalar that becomes it, from ``begin`` to ``end``,
    usually by ``step``;
    ``variables`` are those of the first file; ``differences`` says what keeps that out of the first
    set; ``placeholders`` are datasets that are no variables, though VirtualiZarr returns them;
    ``build`` and ``combine`` are what to run.
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
    partial_chunks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    placeholders: list[str] = field(default_factory=list)
    build: str = ""
    combine: str | None = None

    def as_json(self) -> dict[str, Any]:
        variables = {name: variable.as_json() for name, variable in self.variables.items()}
        return {**vars(self), "variables": variables}


@dataclass
class Inspected:
    """``sets`` with the largest first; ``unreadable`` gives the reason for each such file."""

    files: int
    bytes: int
    sets: list[FileSet]
    unreadable: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "sets": [found.as_json() for found in self.sets]}


def inspect_files(
    patterns: list[str],
    access: Access,
    *,
    concat_dim: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspected:
    """Describe files and lay them side by side. Reads metadata and coordinates only.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    sources = find_sources(patterns, access)
    access = naming(access, patterns)
    described: list[Description] = []
    unreadable: dict[str, str] = {}
    for source, result in _describe_all(sources, access):
        if isinstance(result, Description):
            described.append(result)
        else:
            unreadable[source.url] = result
        progress(len(described) + len(unreadable), len(sources))
    sets = [_file_set(group, along) for along, group in _homogeneous(described, concat_dim)]
    sets.sort(key=lambda found: (-len(found.files), found.files[0]))
    by_url = {found.source.url: found for found in described}
    for number, found in enumerate(sets):
        if number:
            first, other = by_url[sets[0].files[0]], by_url[found.files[0]]
            found.differences = [brief(item) for item in differences(first, other, sets[0].along)]
        chosen = patterns if len(sets) == 1 and not unreadable else None
        found.build = _build_command(found, number, chosen, concat_dim)
        found.combine = _combine_call(found)
    return Inspected(len(sources), sum(source.size for source in sources), sets, unreadable)


def _describe_all(
    sources: list[Source], access: Access
) -> Iterator[tuple[Source, Description | str]]:
    lock = Lock()

    def job(source: Source) -> Description | str:
        try:
            content = fetch_source(source, access)
            with lock:
                return describe(source, content)
        except (InputError, Refused) as error:
            return str(error)
        except BaseException as error:
            if not is_failure(error):
                raise
            try:
                raise_fault(source.url, error)
            except AccessDenied as denied:
                return str(denied)
            return unreadable(source.url, error)

    with ThreadPoolExecutor(THREADS) as pool:
        yield from zip(sources, pool.map(job, sources), strict=True)


def record_dimension(found: Description) -> str | None:
    """The dimension, or the scalar time, that files of this kind continue along; None if unclear.

    An unlimited dimension if there is one, else that of a decoded time coordinate.
    """
    dims = {dim for variable in found.variables.values() for dim in variable.dims}
    unlimited = [dim for dim in found.unlimited if dim in dims]
    times = list(
        dict.fromkeys(
            path.rpartition("/")[2]
            for path, values in found.coordinates.items()
            if values.ndim and _is_time(values)
        )
    )
    candidates = [dim for dim in unlimited if dim in times] or unlimited or times
    if not candidates:
        scalars = [path for path, values in found.coordinates.items() if not values.ndim]
        candidates = [path for path in scalars if _is_time(found.coordinates[path])]
    return candidates[0] if len(candidates) == 1 else None


def _is_time(values: np.ndarray) -> bool:
    if values.dtype == object and values.size:
        return hasattr(values.flat[0], "calendar")
    return values.dtype.kind == "M"


def _homogeneous(
    described: list[Description], concat_dim: str | None
) -> list[tuple[str | None, list[Description]]]:
    sets: dict[tuple, list[Description]] = {}
    for found in described:
        along = concat_dim or record_dimension(found)
        sets.setdefault((along, *_signature(found, along)), []).append(found)
    return [(key[0], group) for key, group in sets.items()]


def _signature(found: Description, along: str | None) -> tuple:
    return (
        found.file_format,
        *sorted(
            (path, *map(repr, _traits(path, variable, along).values()))
            for path, variable in found.variables.items()
        ),
        *sorted((path, digest(values)) for path, values in _static(found, along)),
    )


def _traits(path: str, variable: Variable, along: str | None) -> dict[str, Any]:
    """What must agree between files, in the words of a sentence that says that it does not."""
    sizes = zip(variable.dims, variable.shape, strict=True)
    traits: dict[str, Any] = {
        "the tuple of dimensions": variable.dims,
        **{f"the length of {dim}": size for dim, size in sizes if dim != along},
        "the kind of storage": variable.storage,
    }
    if variable.storage == "virtual":
        traits["the dtype"] = variable.dtype
        traits["the chunk shape"] = variable.chunks
        traits["the list of codecs"] = variable.codecs
    is_clock = variable.storage == "loaded" and " since " in str(variable.encoding.get("units"))
    for key, value in variable.encoding.items():
        # Times that are stored as numbers are encoded anew, so each file may have its epoch.
        if not (is_clock and key != "calendar"):
            traits[key] = plain(value)
    return traits


def _static(found: Description, along: str | None) -> Iterator[tuple[str, np.ndarray]]:
    """The coordinates that all files must share."""
    for path, values in found.coordinates.items():
        if along not in (path, path.rpartition("/")[2]) and values.ndim:
            yield path, values


def differences(first: Description, other: Description, along: str | None) -> list[Difference]:
    """Everything that keeps a file out of the set of another one."""
    found: list[Difference] = []

    def differ(path: str, what: str, value: Any, expected: Any, **more: str) -> None:
        found.append(
            Difference(other.source.url, path, what, value, expected, first.source.url, **more)
        )

    if first.file_format != other.file_format:
        differ("", "the format", *(FORMATS[f.file_format].title for f in (other, first)))
        return found
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
    return found


def brief(item: Difference) -> str:
    """Without the two files and the advice, which are the same for a whole set."""
    name = f"{item.variable}: " if item.variable else ""
    return f"{name}{item.what} is {_show(item.value)}, not {_show(item.expected)}"


def _coordinate_difference(values: np.ndarray, expected: np.ndarray) -> tuple[str, Any, Any]:
    """The first pair that differs; for numbers that are close, that it is jitter."""
    where = int(np.argmax(values != expected))
    what = f"the value at {where}"
    if values.dtype.kind in "iuf" and np.allclose(values, expected, rtol=1e-5, equal_nan=True):
        largest = float(np.nanmax(np.abs(values.astype(float) - expected.astype(float))))
        what = f"(jitter of at most {largest:.2g}) the value at {where}"
    return what, values[where], expected[where]


def _file_set(group: list[Description], along: str | None) -> FileSet:
    name = _record_coordinate(group[0], along)
    values = {found.source.url: _record_values(found, name) for found in group}
    if name and all(array.size for array in values.values()):
        group = sorted(group, key=lambda found: values[found.source.url][0])
    first = group[0]
    found = FileSet(
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
        _note_order(found, [(url, values[url]) for url in found.files])
    elif along and len(group) > 1:
        found.notes.append(
            f"no coordinate along {along}: the files lie in the order of their names, or as given"
        )
    if along and not _is_held(first, along):
        found.notes.append(
            f"no file has a dimension or variable {along}: it is a new dimension, along which each "
            "file is one step"
        )
    if along:
        _note_partial_chunks(found, group, along)
    elif len(group) > 1:
        found.notes.append(
            "no single dimension along which these files continue: name it with --concat-dim"
        )
    return found


def _is_held(found: Description, name: str) -> bool:
    """Whether a file has a dimension or variable of a name, in any group."""
    return any(
        name in (path.rpartition("/")[2], *variable.dims)
        for path, variable in found.variables.items()
    )


def _record_coordinate(found: Description, along: str | None) -> str | None:
    paths = [path for path in found.coordinates if along in (path, path.rpartition("/")[2])]
    return paths[0] if paths else None


def _record_values(found: Description, name: str | None) -> np.ndarray:
    return np.atleast_1d(found.coordinates[name]) if name else np.array([])


def _length(found: Description, along: str | None) -> int:
    for variable in found.variables.values():
        if along in variable.dims:
            return variable.shape[variable.dims.index(along)]
    return 1


def _note_order(found: FileSet, values: list[tuple[str, np.ndarray]]) -> None:
    values = [(url, array) for url, array in values if array.size]
    if not values:
        found.notes.append(f"{found.along} is empty in every file")
        return
    for url, array in values:
        if array.size > 1 and not (array[1:] > array[:-1]).all():
            found.overlaps.append(f"{url}: {found.along} does not increase strictly")
    every = np.concatenate([array for _, array in values])
    found.begin, found.end = _show(every[0]), _show(values[-1][1][-1])
    if every.size < 2:
        return
    steps = every[1:] - every[:-1]
    forward = [step for step in steps.tolist() if step > type(step)(0)]
    if not forward:
        return
    usual = Counter(forward).most_common(1)[0][0]
    found.step = _show_step(steps[steps.tolist().index(usual)])
    for (before, left), (url, right) in pairwise(values):
        if right[0] <= left[-1]:
            found.overlaps.append(
                f"{url}: begins at {_show(right[0])}, but {before} ends at {_show(left[-1])}"
            )
    # Months and years differ in length; half a step more is a gap in any calendar.
    middle = sorted(forward)[len(forward) // 2]
    for (left, right), step in zip(pairwise(every), steps.tolist(), strict=True):
        if step > middle * 1.5:
            found.gaps.append(f"nothing between {_show(left)} and {_show(right)}")


def _show(value: Any) -> str:
    if isinstance(value, np.datetime64):
        text = str(value.astype("M8[s]")) if value == value.astype("M8[s]") else str(value)
        return text.removesuffix("T00:00:00").removesuffix(":00")
    return str(value)


def _show_step(step: Any) -> str:
    if not isinstance(step, np.timedelta64):
        return _show(step)
    seconds = step / np.timedelta64(1, "s")
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def _note_partial_chunks(found: FileSet, group: list[Description], along: str) -> None:
    for path, variable in found.variables.items():
        if variable.storage != "virtual" or along not in variable.dims:
            continue
        axis = variable.dims.index(along)
        partial = [
            (item.source.url, item.variables[path].shape[axis], item.variables[path].chunks[axis])
            for item in group[:-1]
            if item.variables[path].shape[axis] % max(1, item.variables[path].chunks[axis])
        ]
        if partial:
            url, length, chunk = partial[0]
            found.partial_chunks.append(
                f"{path}: {len(partial)} files end in a partial chunk along {along}, as {url} "
                f"(length {length}, chunk {chunk}): only the last file may"
            )


def _build_command(
    found: FileSet, number: int, patterns: list[str] | None, concat_dim: str | None
) -> str:
    parts = [f"uv run {shell_word(_tool())} build"]
    if patterns is not None:
        parts += map(shell_word, patterns)
    elif len(found.files) <= NAMED_FILES:
        parts += [shell_word(url.removeprefix("file://")) for url in found.files]
    else:
        # From the output with --json; a name may hold the end of a line.
        listed = f"jq -j '.sets[{number}].files[] | . + \"\\u0000\"' inspected.json"
        parts.insert(0, f"{listed} | xargs -0")
    if found.along and (len(found.files) > 1 or concat_dim):
        parts.append(option("--concat-dim", found.along))
    drops = [path for path, variable in found.variables.items() if variable.storage == "dropped"]
    parts += [drop_options(drops)] if drops else []
    share = _share(found)
    if share.needs_a_word:
        parts.append(f"--allow-copy {show_bytes(share.native)}")
    return " ".join([*parts, "--repo NAME.icechunk"])


def _width(variable: Variable) -> int:
    """Bytes of an element: of a copy those of the widest decoded number."""
    if variable.storage == "native":
        return 8
    try:
        return np.dtype(variable.dtype).itemsize
    except TypeError:  # text of a compound type
        return 8


def _share(found: FileSet) -> Share:
    """What build would copy of these files, at most: decoded values take up to 8 bytes."""
    sizes = {"virtual": 0, "native": 0}
    for variable in found.variables.values():
        if variable.storage not in sizes:
            continue
        width = _width(variable)
        elements = math.prod(variable.shape)
        if found.along in variable.dims:
            length = variable.shape[variable.dims.index(found.along)]
            elements = elements // max(1, length) * sum(found.lengths)
        elif found.along is not None and len(found.files) > 1 and variable.dims:
            elements *= len(found.files)  # where no variable has it, each file is a step along it
        sizes[variable.storage] += elements * width
    return Share(**sizes)


def _tool() -> str:
    """The command line's file, as short as it can be named from here."""
    tool = Path(__file__).parents[1] / "virtual_zarr.py"
    return str(tool.relative_to(Path.cwd()) if tool.is_relative_to(Path.cwd()) else tool)


def _combine_call(found: FileSet) -> str | None:
    """For a program of one's own: what says the same, where one call can."""
    dims = {dim for variable in found.variables.values() for dim in variable.dims}
    grouped = any("/" in path for path in found.variables)
    renamed = any(name.startswith("_nc4_non_coord_") for name in found.placeholders)
    repeated = any(len(set(v.dims)) < len(v.dims) for v in found.variables.values())
    if found.file_format not in PARSERS or grouped or renamed or repeated:
        return None
    if found.along not in dims:
        return None
    _, parser, option = PARSERS[found.file_format]
    # Naming what cannot be virtual in loadable_variables would load what the parser makes of it.
    copied = [path for path, v in found.variables.items() if v.storage == "native"]
    dropped = [path for path, v in found.variables.items() if v.storage == "dropped"]
    loaded = [path for path, v in found.variables.items() if v.storage == "loaded"]
    unwanted = [*dropped, *copied, *found.placeholders]
    arguments = f"{option}={unwanted}" if unwanted else ""
    remark = "  # these files only: for others combine_attrs=strict_cf of skill.md"
    if copied:
        remark += f"; add {', '.join(map(repr, copied))} as xarray.open_dataset reads them"
    return (
        f"open_virtual_mfdataset(urls, registry=registry, parser={parser}({arguments}), "
        f"loadable_variables={loaded}, combine='nested', concat_dim={found.along!r}, "
        "data_vars='minimal', coords='minimal', compat='override', join='exact', "
        f"combine_attrs='drop_conflicts'){remark}"
    )


def as_lines(inspected: Inspected, shown_sets: int = 10) -> list[str]:
    """The report for a person."""
    lines: list[str] = []
    for number, found in enumerate(inspected.sets[:shown_sets]):
        lines += [*_set_lines(found, number, len(inspected.sets)), ""]
    if len(inspected.sets) > shown_sets:
        lines += [f"{len(inspected.sets) - shown_sets} more sets: --json lists them", ""]
    if inspected.unreadable:
        lines += [f"{len(inspected.unreadable)} files cannot be used:"]
        lines += _some([f"  {reason}" for reason in inspected.unreadable.values()])
    return lines


def _set_lines(found: FileSet, number: int, total: int) -> list[str]:
    title = FORMATS[found.file_format].title
    along = f" along {found.along}" if found.along else ""
    span = f": {found.begin} to {found.end}" if found.begin is not None else ""
    step = f", step {found.step}" if found.step else ""
    lines = [
        f"set {number + 1} of {total}: {len(found.files)} {title} files, "
        f"{found.bytes / 1e6:,.1f} MB, {found.references:,} references{along}{span}{step}",
        f"  first {found.files[0]}",
    ]
    lines += [f"  {line}" for line in _table(found)]
    reasons = [
        f"{path} {'must be left out' if v.storage == 'dropped' else 'is copied'}: {v.reason}"
        for path, v in found.variables.items()
        if v.reason
    ]
    lines += [f"  {reason}" for reason in reasons]
    for what, items in (
        ("overlap: ", found.overlaps),
        ("gap: ", found.gaps),
        ("partial chunks: ", found.partial_chunks),
        ("differs from set 1: ", found.differences),
        ("no variable, but a placeholder: ", found.placeholders),
        ("", found.notes),
    ):
        lines += [f"  {what}{item}" for item in _some(items)]
    lines.append(f"  build: {found.build}")
    if found.combine:
        lines.append(f"  combine: {found.combine}")
    return lines


def _some(items: list[str]) -> list[str]:
    more = [f"... and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [*items[:SHOWN], *more]


def _table(found: FileSet) -> list[str]:
    rows = [("variable", "dims", "shape", "chunks", "dtype", "codecs", "encoding", "storage")]
    for path, variable in found.variables.items():
        rows.append(
            (
                path,
                " ".join(variable.dims) or "-",
                "x".join(map(str, variable.shape)) or "-",
                "x".join(map(str, variable.chunks or ())) or "-",
                variable.dtype or "-",
                "+".join(variable.codecs) or "-",
                " ".join(f"{k}={_brief(v)}" for k, v in variable.encoding.items()) or "-",
                variable.storage,
            )
        )
    return aligned(rows)


def _brief(value: Any) -> str:
    text = repr(plain(value)) if " " in str(value) else str(plain(value))
    return text if len(text) <= 40 else f"{text[:37]}..."
