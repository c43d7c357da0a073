"""Files with groups: each group is combined by itself, all of them in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from vzarr.combine.combine import NOTHING_HELD, Boundary, Continued, combine_files
from vzarr.combine.compatibility import SEPARATE, Difference, compare_files
from vzarr.combine.kinds import is_in, key_of, traits_of
from vzarr.combine.lacking import has_records, with_all_groups, with_parts, without_records
from vzarr.combine.merge import lengths_of
from vzarr.combine.shared_attributes import share_attributes
from vzarr.combine.store_metadata import GroupInStore, GroupRecord, StoreMetadata
from vzarr.combine.times import set_time_encoding
from vzarr.errors import Refused
from vzarr.formats.reasons import Code
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import ParsedFile, group_paths, part_of


def combine_groups(
    files: list[ParsedFile],
    dimension: str | None,
    access: Access,
    skip_bad: bool = False,
    before: Boundary | None = None,
    more_follow: bool = False,
    continued: Continued = NOTHING_HELD,
) -> tuple[dict[str, xr.Dataset], list[ParsedFile], list[Difference]]:
    """One dataset for each group, the files in them in their order, and why others were left out.

    ``before``, ``more_follow`` and ``continued`` as in ``combine_files``.

    Raises
    ------
    Refused
        With the first difference between the files, unless ``skip_bad``.
    """
    options: dict[str, Any] = {"skip_bad": skip_bad, "before": before}
    options |= {"more_follow": more_follow, "continued": continued}
    if not any(file.children for file in [*files, *([before.first] if before else [])]):
        dataset, chosen, left_out = combine_files(files, dimension, access, **options)
        _note_order({"": dataset}, chosen, dimension)
        return {"": dataset}, chosen, left_out
    left_out = []
    while files:
        datasets, order, problems = _combine_all(files, dimension, access, **options)
        if not problems:
            _note_order(datasets, order, dimension)
            return datasets, order, left_out
        left_out += problems
        bad = {problem.url for problem in problems}
        files = [file for file in files if file.source.url not in bad]
    if before is None:
        raise Refused(f"No file is left to build from: {left_out[0]}")
    return {}, [], left_out


def _combine_all(
    files: list[ParsedFile],
    dimension: str | None,
    access: Access,
    skip_bad: bool,
    before: Boundary | None,
    more_follow: bool,
    continued: Continued,
) -> tuple[dict[str, xr.Dataset], list[ParsedFile], list[Difference]]:
    stored = (
        {path: part_of(before.first, path) for path in group_paths(before.first)} if before else {}
    )
    files, problems = with_all_groups(files, dimension, stored)
    if problems and not skip_bad:
        raise Refused(str(problems[0]))
    if problems:
        return {}, [], problems
    paths = group_paths(before.first if before else files[0])
    growing = [path for path in paths if _grows(files, path, dimension)]
    # The groups with the record coordinate decide the order; the others have nothing to sort by.
    indexed = [path for path in growing if _is_indexed(files, path, dimension)]
    order = _in_order(files, indexed, dimension)
    datasets: dict[str, xr.Dataset] = {}
    chosen: list[ParsedFile] = []
    combined: dict[str, dict[str, ParsedFile]] = {}
    for path in [*indexed, *(path for path in paths if path not in indexed)]:
        parts = [part for file in order if has_records(part := part_of(file, path), dimension)]
        here = before and Boundary(part_of(before.first, path), part_of(before.last, path))
        if not parts:  # nothing new in a group that is there
            datasets[path], chosen = part_of(order[0], path).dataset, []
        elif dimension is None or path in growing or not growing:
            datasets[path], chosen, problems = combine_files(
                parts, dimension, access, skip_bad, here, more_follow, continued
            )
        else:
            datasets[path], chosen, problems = _take_first(parts, dimension, access, skip_bad, here)
        if problems:
            return {}, [], problems
        combined[path] = {part.source.url: part for part in chosen}
        if path in indexed:
            _check_order(path, [*combined[path]], [part.source.url for part in parts])
    by_path = {path: datasets[path] for path in paths}
    if "" not in by_path:
        root = share_attributes(order[0].dataset, [file.dataset for file in order[1:]])
        by_path = {"": root, **by_path}
    return by_path, [_as_combined(file, combined, dimension) for file in order], []


def _grows(files: list[ParsedFile], path: str, dimension: str | None) -> bool:
    """Whether a group has the record dimension, or what becomes it, in one of the files."""
    datasets = [part_of(file, path).dataset for file in files]
    return any(dimension in dataset.variables or dimension in dataset.dims for dataset in datasets)


def _is_indexed(files: list[ParsedFile], path: str, dimension: str | None) -> bool:
    return any(dimension in part_of(file, path).dataset.indexes for file in files)


def _first_record(file: ParsedFile, indexed: list[str], dimension: str | None) -> Any:
    """The first value of the record coordinate, in the first group that has records."""
    indexes = [part_of(file, path).dataset.indexes.get(dimension, ()) for path in indexed]
    return next((index[0] for index in indexes if len(index)), None)


def _in_order(
    files: list[ParsedFile], indexed: list[str], dimension: str | None
) -> list[ParsedFile]:
    """By the record coordinate; as given where there is none."""
    firsts = {file.source.url: _first_record(file, indexed, dimension) for file in files}
    if None in firsts.values():
        return files
    try:
        return sorted(files, key=lambda file: firsts[file.source.url])
    except TypeError:  # two calendars: the comparison of the files will say so
        return files


def _as_combined(
    file: ParsedFile, combined: dict[str, dict[str, ParsedFile]], dimension: str | None
) -> ParsedFile:
    """A file with its groups in the form in which they were combined."""
    url = file.source.url
    parts = {}
    for path, by_url in combined.items():
        if url in by_url:
            parts[path] = by_url[url]
        elif by_url:
            parts[path] = without_records(next(iter(by_url.values())), file, str(dimension))
    return with_parts(file, parts)


def _note_order(
    datasets: dict[str, xr.Dataset], order: list[ParsedFile], dimension: str | None
) -> None:
    if len(order) > 1 and not any(dimension in dataset.indexes for dataset in datasets.values()):
        order[0].notes.append(
            f"no coordinate says in which order the files lie along {dimension}: they lie in the "
            f"order of their names or as given, from {order[0].source.name} to "
            f"{order[-1].source.name}; --coord {dimension}=FORMAT takes one from the names, "
            "--coord-table from a table"
        )


def _take_first(
    parts: list[ParsedFile],
    dimension: str,
    access: Access,
    skip_bad: bool,
    before: Boundary | None,
) -> tuple[xr.Dataset, list[ParsedFile], list[Difference]]:
    """A group that does not grow is stored once, so it must be the same in all files."""
    first = before.first if before else parts[0]
    contradictions = [
        problems[0]
        for part in parts
        if part is not first and (problems := compare_files(first, part, dimension, access))
    ]
    if contradictions and not skip_bad:
        raise Refused(str(contradictions[0]))
    dataset = share_attributes(parts[0].dataset, [part.dataset for part in parts[1:]])
    set_time_encoding(dataset)
    return dataset, parts, contradictions


def _check_order(path: str, urls: list[str], expected: list[str]) -> None:
    if urls != expected:
        raise Refused(
            f"{urls[0]}: group {path} has its files in another order than the other groups, by its "
            f"own coordinate. {SEPARATE}."
        )


def describe(files: list[ParsedFile], group: str, dimension: str | None) -> GroupRecord:
    """What a store keeps of one group: its variables, and each file's length in it.

    ``ways`` of ``vzarr.combine.plan``, where a variable needed one.
    """
    members = [file for file in files if is_in(file, group)]
    parts = [part_of(file, group) for file in members]
    native: dict[str, str] = {}
    dropped: dict[str, str] = {}
    ways = {name: way.as_json() for name, way in parts[0].ways.items()}
    by_option: set[str] = set()
    for part in parts:
        native |= {name: str(reason) for name, reason in part.native.items()}
        dropped |= {name: str(reason) for name, reason in part.dropped.items()}
        by_option |= {n for n, reason in part.dropped.items() if reason.code is Code.BY_OPTION}
    virtual = sorted(parts[0].virtual)
    names = {str(name) for name in parts[0].dataset.variables}
    grows = any(dimension in variable.dims for variable in parts[0].dataset.variables.values())
    described: GroupRecord = {
        "concat_dim": dimension if grows else None,
        "lengths": [
            length
            for file in files
            for length in (
                lengths_of(part_of(file, group), dimension) if is_in(file, group) else [0]
            )
        ],
        "virtual": virtual,
        "loaded": sorted(names - {*virtual, *native}),
        "native": native,
        "dropped": dropped,
        "by_option": sorted(by_option),
    }
    if ways:
        described["ways"] = ways
    if group and parts[0].kind:
        described["kind"] = key_of(traits_of(parts[0], str(dimension)))
        described["source_group"] = ""
    if parts[0].raw:
        described["raw"] = sorted(parts[0].raw)
    return described


def stored_groups(metadata: StoreMetadata) -> dict[str, GroupInStore]:
    """What a store holds by group; in ``sources`` each record with its ``length`` in the group.

    In the order of paths: Icechunk returns the keys of what it keeps in an order of chance.
    """
    return {
        path: {
            **stored_group,
            "sources": [
                {**record, "length": length}
                for record, length in zip(metadata["sources"], stored_group["lengths"], strict=True)
            ],
        }
        for path, stored_group in sorted(metadata["groups"].items())
    }


def raw_paths(groups: Mapping[str, GroupRecord]) -> list[str]:
    """The paths of variables that are stored as they are packed."""
    return [
        f"{group}/{name}".lstrip("/")
        for group, stored_group in groups.items()
        for name in stored_group.get("raw", ())
    ]
