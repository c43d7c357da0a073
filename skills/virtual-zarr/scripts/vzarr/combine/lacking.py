"""Groups that some files have not got, as step 0 of a forecast has no totals: no records there.

Such a file has no part in the group, which has records of its own. What they are of has to be told
by a coordinate of the group, so only groups with one may be lacking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import xarray as xr

from vzarr.combine.compatibility import SEPARATE, Difference
from vzarr.combine.missing import with_missing
from vzarr.combine.mixed_array import empty_array
from vzarr.text import drop_options
from vzarr.upstream.virtualizarr import copy_and_replace_metadata
from vzarr.virtualize.model import ParsedFile, group_paths, is_virtual, part_of


def has_records(part: ParsedFile, dimension: str | None) -> bool:
    """Whether a group of a file has something along the record dimension, or has not got it."""
    return part.dataset.sizes.get(dimension) != 0


def without_records(part: ParsedFile, file: ParsedFile, dimension: str) -> ParsedFile:
    """What stands for a group that a file has not got, in the form of another's ``part``."""
    variables = {}
    for name, variable in part.dataset.variables.items():
        if dimension not in variable.dims:
            variables[name] = variable
            continue
        axis = variable.dims.index(dimension)
        if is_virtual(variable):
            shape = [*variable.shape[:axis], 0, *variable.shape[axis + 1 :]]
            metadata = copy_and_replace_metadata(variable.data.metadata, new_shape=shape)
            data = empty_array(metadata)
            variables[name] = xr.Variable(variable.dims, data, variable.attrs)
        else:
            variables[name] = variable.isel({dimension: slice(0, 0)})
    coordinates = [name for name in part.dataset.coords if name in variables]
    dataset = xr.Dataset(coords=xr.Coordinates({}, indexes={}), attrs=part.dataset.attrs)
    dataset = dataset.assign(variables).set_coords(coordinates)
    return replace(
        part, source=file.source, dataset=dataset, notes=[], lacks=(), companions=[], within=None
    )


def with_all_groups(
    files: Sequence[ParsedFile], dimension: str | None, stored: Mapping[str, ParsedFile]
) -> tuple[list[ParsedFile], list[Difference]]:
    """Files that all have the groups of each of them, and of what is ``stored``, by path.

    Those without a group have no records in it; and why that cannot be said of others.
    """
    owners = dict(stored)
    parts: dict[str, list[ParsedFile]] = {path: [part] for path, part in stored.items()}
    for file in files:
        for path in group_paths(file):
            owners.setdefault(path, part_of(file, path))
            parts.setdefault(path, []).append(part_of(file, path))
    if all(len(group_paths(file)) == len(owners) for file in files):
        return list(files), []
    growing = {path for path, part in owners.items() if dimension in part.dataset.dims}
    may_lack = {
        path
        for path in owners
        if path
        and all(_is_labelled(part, dimension) for part in parts[path])
        and not any(_is_inside(path, other) for other in growing)
    }
    whole: list[ParsedFile] = []
    problems: list[Difference] = []
    for file in files:
        lacked = [path for path in owners if path not in group_paths(file)]
        # One that shares nothing with the others is of another archive.
        is_alone = not any(len(parts[path]) > 1 for path in group_paths(file))
        refused = lacked if is_alone else [path for path in lacked if path not in may_lack]
        if refused:
            problems.append(_missing_group(owners[min(refused)], file, min(refused)))
        elif lacked:
            new = {path: without_records(owners[path], file, str(dimension)) for path in lacked}
            whole.append(with_parts(file, new, lacked))
        else:
            whole.append(file)
    return whole, problems


def with_parts(
    file: ParsedFile, parts: Mapping[str, ParsedFile], lacked: Sequence[str] = ()
) -> ParsedFile:
    """A file with other groups than its own, of which it has ``lacked`` some."""
    groups = dict(parts)
    root = groups.pop("", file)
    notes = [*root.notes]
    if lacked:
        notes.append(f"{file.source.url}: has no {', '.join(lacked)}: no records there")
    return replace(root, children={**file.children, **groups}, notes=notes)


def outermost(first: ParsedFile | None, files: Sequence[ParsedFile], dimension: str) -> ParsedFile:
    """A file that stands for the first with records in each group: ``first`` where it has some.

    The last one is that of the files in reverse.
    """
    every = [first, *files] if first else files
    paths = dict.fromkeys(path for file in every for path in group_paths(file))
    parts = {}
    for path in filter(None, paths):
        owners = [part_of(file, path) for file in every if path in file.children]
        parts[path] = next((part for part in owners if has_records(part, dimension)), owners[0])
    return replace(every[0], children=parts)


def begins_later(first: ParsedFile, files: Sequence[ParsedFile], dimension: str) -> bool:
    """Whether files have a group or a variable that may be missing in those that are written."""
    if any(path not in group_paths(first) for file in files for path in group_paths(file)):
        return True
    for path in group_paths(first):
        model = part_of(first, path)
        parts = [part_of(file, path) for file in files if path in group_paths(file)]
        whole = with_missing([model, *parts], dimension, None)[0]
        if len(whole.dataset.variables) > len(model.dataset.variables):
            return True
    return False


def _is_labelled(part: ParsedFile, dimension: str | None) -> bool:
    """Whether a coordinate tells the records of a group."""
    variable = part.dataset.variables.get(dimension)
    return variable is not None and variable.dims == (dimension,) and not is_virtual(variable)


def _is_inside(path: str, other: str) -> bool:
    """Whether a group lies in another one, whose records it would have to share."""
    return path != other and (not other or path.startswith(f"{other}/"))


def _missing_group(owner: ParsedFile, file: ParsedFile, path: str) -> Difference:
    url, told = file.source.url, ("absent", "present")
    advice = f"{SEPARATE}, or leave it out of all with {drop_options([path])}" if path else SEPARATE
    return Difference(url, f"/{path}", "the group", *told, owner.source.url, advice=advice)
