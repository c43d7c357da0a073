"""Many files side by side: which belong together, in what order, and what would be refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from vzarr.combine.copied import Share, show_bytes
from vzarr.combine.file_sets import FileSet, brief, describe_set, differences, split_by_layout
from vzarr.combine.merge import are_disjoint
from vzarr.combine.named_coordinates import TIME, NamedCoordinates, named_coordinates
from vzarr.combine.undecided import NO_GUESS, guess_along
from vzarr.errors import AccessDenied, InputError, Refused, is_failure, raise_fault, unreadable
from vzarr.sources.discover import Source, find_sources
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming
from vzarr.text import drop_options, option, shell_word
from vzarr.virtualize.describe import Description, Variable, describe, fetch_source

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
class Inspected:
    """``sets`` with the largest first; ``unreadable`` gives the reason for each such file."""

    files: int
    bytes: int
    sets: list[FileSet]
    unreadable: dict[str, str]

    def _repr_html_(self) -> str:
        from vzarr.pages.render import fragment
        from vzarr.reports.costs import counted
        from vzarr.reports.files import set_timelines

        rows: list[tuple[str, object]] = []
        lines = []
        for number, each in enumerate(self.sets[:SHOWN], 1):
            lines += set_timelines(each, f"set {number}: {len(each.files):,} files, ")
            span = f" from {each.begin} to {each.end}" if each.begin is not None else ""
            along = f" along {each.along}" if each.along else ""
            rows.append(
                (f"set {number}", f"{len(each.files):,} {each.file_format} files{along}{span}")
            )
            rows += [("differs from set 1", sentence) for sentence in each.differences[:SHOWN]]
            rows.append(("build", each.build))
        rows += [("unreadable", why) for why in list(self.unreadable.values())[:SHOWN]]
        title = f"{counted(self.files, 'file')} in {counted(len(self.sets), 'set')}"
        return fragment(title, rows, lines)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {**vars(self), "sets": [file_set.as_json() for file_set in self.sets]}


def inspect_files(
    patterns: list[str],
    access: Access,
    *,
    concat_dim: str | None = None,
    coord: tuple[str, ...] = (),
    coord_table: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspected:
    """Describe files and lay them side by side. Reads metadata and coordinates only.

    ``coord`` and ``coord_table`` as in ``vzarr.changes.build``.

    Raises
    ------
    InputError
        If a pattern matches nothing.
    """
    sources = find_sources(patterns, access)
    access = naming(access, patterns)
    rule = named_coordinates(coord, coord_table)
    coordinates = [option("--coord", text) for text in coord]
    coordinates += [option("--coord-table", coord_table)] if coord_table else []
    along = concat_dim or next(iter(rule.names), None)
    described: list[Description] = []
    unreadable: dict[str, str] = {}
    for source, result in _describe_all(sources, access):
        if isinstance(result, Description) and along is not None:
            result = _with_given(result, rule, along)
        if isinstance(result, Description):
            described.append(result)
        else:
            unreadable[source.url] = result
        progress(len(described) + len(unreadable), len(sources))
    guess = guess_along(described) if along is None else NO_GUESS
    if guess.form:
        rule, coordinates = named_coordinates([guess.form], None), [option("--coord", guess.form)]
        described = [
            item
            for each in described
            if isinstance(item := _with_given(each, rule, TIME), Description)
        ]
    if guess.dimension:
        along = concat_dim = guess.dimension
    sets = [describe_set(group, dim) for dim, group in split_by_layout(described, along)]
    sets.sort(key=lambda file_set: (-len(file_set.files), file_set.files[0]))
    by_url = {file_set.source.url: file_set for file_set in described}
    for number, file_set in enumerate(sets):
        if number:
            first, other = by_url[sets[0].files[0]], by_url[file_set.files[0]]
            file_set.differences = [
                brief(item) for item in differences(first, other, sets[0].along)
            ]
        chosen = patterns if len(sets) == 1 and not unreadable else None
        if file_set.is_refused:
            file_set.notes.append("build refuses files that overlap so: leave one of them out")
        else:
            file_set.build = _build_command(file_set, number, chosen, concat_dim, coordinates)
        file_set.combine = _combine_call(file_set)
        file_set.notes += guess.notes
    if _lie_side_by_side(sets):
        _note_columns(sets, patterns if not unreadable else None, concat_dim)
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


def _with_given(description: Description, rule: NamedCoordinates, along: str) -> Description | str:
    """A file with the coordinates that its name, or a table, gives it; or why it has none."""
    try:
        given = rule.of(description.source.url)
    except InputError as error:
        return str(error)
    for name, values in given.items():
        if name in description.variables:
            return (
                f"{description.source.url}: has a variable {name} of its own. To give it another "
                f"one, leave that out with {drop_options([name])} in build; else give none."
            )
        variable = values.as_variable(along)
        dtype = str(variable.dtype)
        shape = variable.shape
        described = Variable((along,), shape, dtype, None, (), {}, "loaded")
        description.variables[name] = described
        if name == along:
            description.coordinates[name] = variable.values
    return description


def _build_command(
    file_set: FileSet,
    number: int,
    patterns: list[str] | None,
    concat_dim: str | None,
    coordinates: Sequence[str] = (),
) -> str:
    parts = [f"uv run {shell_word(_tool())} build"]
    if patterns is not None:
        parts += map(shell_word, patterns)
    elif len(file_set.files) <= NAMED_FILES:
        parts += [shell_word(url.removeprefix("file://")) for url in file_set.files]
    else:
        # From the output with --json; a name may hold the end of a line.
        listed = f"jq -j '.sets[{number}].files[] | . + \"\\u0000\"' inspected.json"
        parts.insert(0, f"{listed} | xargs -0")
    if file_set.along and (len(file_set.files) > 1 or concat_dim):
        dims = file_set.build_along or (file_set.along,)
        parts += [option("--concat-dim", dim) for dim in dims]
    drops = [path for path, variable in file_set.variables.items() if variable.storage == "dropped"]
    parts += [drop_options(drops)] if drops else []
    parts += [*coordinates, *file_set.flags]
    if file_set.repeats:
        parts.append("--overlap first")
    share = _share(file_set)
    if share.needs_a_word:
        parts.append(f"--allow-copy {show_bytes(share.native)}")
    return " ".join([*parts, "--repo NAME.icechunk"])


def _lie_side_by_side(sets: list[FileSet]) -> bool:
    """Whether the sets are of the same records, each with variables of its own."""
    places = {(s.file_format, s.along, s.begin, s.end, tuple(s.lengths)) for s in sets}
    names = {frozenset(file_set.variables) for file_set in sets}
    is_known = all(file_set.along and file_set.begin is not None for file_set in sets)
    grouped = any("/" in name for each in names for name in each)
    is_one_each = len(names) == len(sets) and len(places) == 1
    return is_known and is_one_each and not grouped and are_disjoint(names)


def _note_columns(sets: list[FileSet], patterns: list[str] | None, concat_dim: str | None) -> None:
    """Say that one build puts files of the same records side by side, and how."""
    files = [file for file_set in sets for file in file_set.files]
    every = replace(sets[0], files=files)
    command = _build_command(every, 0, patterns, concat_dim)
    if patterns is None and len(files) > NAMED_FILES:
        command = command.replace(".sets[0].files[]", ".sets[].files[]")
    for file_set in sets:
        file_set.notes.append("the sets have the same records: one build puts them side by side")
        file_set.build = command


def _width(variable: Variable) -> int:
    """Bytes of an element: of a copy those of the widest decoded number."""
    if variable.storage == "native":
        return 8
    try:
        return np.dtype(variable.dtype).itemsize
    except TypeError:  # text of a compound type
        return 8


def _share(file_set: FileSet) -> Share:
    """What build would copy of these files, at most: decoded values take up to 8 bytes."""
    sizes = {"virtual": 0, "native": 0}
    for variable in file_set.variables.values():
        if variable.storage not in sizes:
            continue
        width = _width(variable)
        elements = math.prod(variable.shape)
        if file_set.along in variable.dims:
            length = variable.shape[variable.dims.index(file_set.along)]
            elements = elements // max(1, length) * sum(file_set.lengths)
        elif file_set.along is not None and len(file_set.files) > 1 and variable.dims:
            elements *= len(
                file_set.files
            )  # where no variable has it, each file is a step along it
        sizes[variable.storage] += elements * width
    return Share(sizes["virtual"], sizes["native"])


def _tool() -> str:
    """The command line's file, as short as it can be named from here."""
    tool = Path(__file__).parents[2] / "virtual_zarr.py"
    return str(tool.relative_to(Path.cwd()) if tool.is_relative_to(Path.cwd()) else tool)


def _combine_call(file_set: FileSet) -> str | None:
    """For a program of one's own: what says the same, where one call can."""
    dims = {dim for variable in file_set.variables.values() for dim in variable.dims}
    grouped = any("/" in path for path in file_set.variables)
    renamed = any(name.startswith("_nc4_non_coord_") for name in file_set.placeholders)
    repeated = any(len(set(v.dims)) < len(v.dims) for v in file_set.variables.values())
    if file_set.file_format not in PARSERS or grouped or renamed or repeated:
        return None
    if file_set.along not in dims or file_set.ways:
        return None
    _, parser, option = PARSERS[file_set.file_format]
    # Naming what cannot be virtual in loadable_variables would load what the parser makes of it.
    copied = [path for path, v in file_set.variables.items() if v.storage == "native"]
    dropped = [path for path, v in file_set.variables.items() if v.storage == "dropped"]
    loaded = [path for path, v in file_set.variables.items() if v.storage == "loaded"]
    unwanted = [*dropped, *copied, *file_set.placeholders]
    arguments = f"{option}={unwanted}" if unwanted else ""
    remark = "  # these files only: for others combine_attrs=strict_cf of skill.md"
    if copied:
        remark += f"; add {', '.join(map(repr, copied))} as xarray.open_dataset reads them"
    return (
        f"open_virtual_mfdataset(urls, registry=registry, parser={parser}({arguments}), "
        f"loadable_variables={loaded}, combine='nested', concat_dim={file_set.along!r}, "
        "data_vars='minimal', coords='minimal', compat='override', join='exact', "
        f"combine_attrs='drop_conflicts'){remark}"
    )
