"""Sets of files that differ only in what some of them lack: one build takes them together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from vzarr.combine.missing import LACKED
from vzarr.virtualize.describe import Description, digest
from vzarr.virtualize.equality import same

NAMED = 5
"""Names in a note; the others are counted."""


def join_lacking(
    sets: list[tuple[str | None, list[Description]]], traits: Any
) -> list[tuple[str | None, list[Description]]]:
    """Sets with those joined whose files may lack what the others have.

    ``traits`` of a path, a variable and the record dimension: what must agree.
    """
    joined: list[tuple[str | None, list[Description]]] = []
    for along, group in sorted(sets, key=lambda pair: -len(pair[1][0].variables)):
        for other, files in joined:
            if other == along and along is not None and _may_join(files, group[0], along, traits):
                files += group
                break
        else:
            joined.append((along, list(group)))
    return joined


def whole(group: list[Description]) -> Description:
    """What stands for all files of a set: each variable as of the first that has it."""
    first = group[0]
    variables = dict(first.variables)
    for item in group:
        for path, variable in item.variables.items():
            variables.setdefault(path, variable)
    if len(variables) == len(first.variables):
        return first
    return replace(first, variables=dict(sorted(variables.items())))


def note_lacks(group: list[Description], expected: Description) -> list[str]:
    """A sentence for each kind of lack."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for item in group:
        lacked = [path for path in expected.variables if path not in item.variables]
        groups = {*expected.groups} - {*item.groups}
        owners = ((path.rpartition("/")[0], path) for path in lacked)
        names = tuple(dict.fromkeys(g if g in groups else path for g, path in owners))
        if names:
            kinds.setdefault(names, []).append(item.source.url)
    return [_sentence(lacked, urls) for lacked, urls in kinds.items()]


def find_lacks(group: list[Description], expected: Description) -> dict[str, list[int]]:
    """Numbers of the files without a variable, by its path."""
    lacks: dict[str, list[int]] = {}
    for number, item in enumerate(group):
        for path in expected.variables.keys() - item.variables.keys():
            lacks.setdefault(path, []).append(number)
    return lacks


def _sentence(lacked: tuple[str, ...], urls: list[str]) -> str:
    more = f" and {len(lacked) - NAMED} more" if len(lacked) > NAMED else ""
    who = urls[0] if len(urls) == 1 else f"{len(urls)} files, as {urls[0]}"
    return f"{who}: has no {', '.join(lacked[:NAMED])}{more}: missing there"


def _may_join(files: list[Description], other: Description, along: str, traits: Any) -> bool:
    expected = whole(files)
    shared = expected.variables.keys() & other.variables.keys()
    if expected.file_format != other.file_format or not any(
        along in expected.variables[path].dims and path.rpartition("/")[2] != along
        for path in shared
    ):
        return False
    for path in shared:
        mine, theirs = (traits(path, each.variables[path], along) for each in (other, expected))
        if mine.keys() != theirs.keys() or not all(same(mine[k], theirs[k]) for k in mine):
            return False
    for path in expected.coordinates.keys() & other.coordinates.keys():
        is_record = along in (path, path.rpartition("/")[2])
        values = expected.coordinates[path], other.coordinates[path]
        if not is_record and values[0].ndim and digest(values[0]) != digest(values[1]):
            return False
    return all(
        _may_lack(lacking, having, along)
        for lacking, having in ((other, expected), (expected, other))
    )


def _may_lack(lacking: Description, having: Description, along: str) -> bool:
    """As ``combine.missing`` and ``combine.lacking`` judge it."""
    lacked = [path for path in having.variables if path not in lacking.variables]
    groups = {*having.groups} - {*lacking.groups}
    growing = [path for path, variable in having.variables.items() if along in variable.dims]
    if having.groups == [""] and len({*growing} & {*lacked}) > LACKED * (len(growing) - 1):
        return False
    records = {path.rpartition("/")[0] for path in having.coordinates if _ends(path, along)}
    above = {path.rpartition("/")[0] for path in growing}
    for group in groups:
        if group not in records or any(group.startswith(f"{each}/") for each in above - {""}):
            return False
        if "" in above and group:
            return False
    return all(
        path.rpartition("/")[0] in groups or _may_be_missing(having.variables[path], along)
        for path in lacked
    )


def _ends(path: str, along: str) -> bool:
    return path.rpartition("/")[2] == along


def _may_be_missing(variable: Any, along: str) -> bool:
    if along not in variable.dims:
        return True
    try:
        kind = np.dtype(variable.dtype).kind
    except TypeError:
        return False
    return kind == "f" or (kind in "iuM" and "_FillValue" in variable.encoding)
