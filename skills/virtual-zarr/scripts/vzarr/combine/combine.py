"""Several parsed files to one virtual dataset, or the reasons why not."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.compatibility import Difference, compare_files, partial_chunks
from vzarr.combine.coordinates import with_coordinates
from vzarr.combine.fitting import fit, like_stored, make_plan
from vzarr.combine.missing import with_missing
from vzarr.combine.order import order_problem
from vzarr.combine.overlap import choice_between
from vzarr.combine.plan import NO_CHOICE, Layout, Policy, question
from vzarr.combine.raw_packing import differing_packing, with_raw
from vzarr.combine.scalars import along_records, differing_scalars, note
from vzarr.combine.shared_attributes import share_attributes
from vzarr.combine.times import set_time_encoding
from vzarr.errors import InputError, Refused
from vzarr.sources.schemes import Access
from vzarr.virtualize.model import CF_ENCODING, ParsedFile, digest


def with_record_dimension(parsed: ParsedFile, dimension: str) -> ParsedFile:
    """Give a file the dimension that it does not have.

    A scalar of that name becomes the coordinate; otherwise the dimension gets none. Every variable
    with dimensions of its own that is no coordinate gets the new one in front; scalars stay static.

    Raises
    ------
    InputError
        If a variable of that name has several dimensions.
    """
    dataset = parsed.dataset
    if dimension in dataset.dims:
        return parsed
    scalar = dataset.variables.get(dimension)
    if scalar is not None and scalar.ndim:
        raise InputError(f"{parsed.source.url}: {dimension} is a variable of several dimensions.")
    if scalar is not None:
        dataset = dataset.drop_vars(dimension)
    grown = {
        name: dataset[name].variable.expand_dims(dimension)
        for name in dataset.data_vars
        if dataset[name].ndim
    }
    dataset = dataset.assign(grown)
    if scalar is not None:
        coordinate = xr.Variable((dimension,), scalar.values[None], scalar.attrs, scalar.encoding)
        dataset = dataset.assign_coords({dimension: coordinate})
    parsed.dataset = dataset
    for name in grown:
        parsed.digests.pop(str(name), None)
    return parsed


@dataclass(frozen=True)
class Boundary:
    """What is in the store already: its first file, that all must agree with, and its last."""

    first: ParsedFile
    last: ParsedFile


@dataclass(frozen=True)
class Continued:
    """How files may be made fit for each other, and what they continue, by path.

    ``layouts`` are arrays of references, ``grown`` those of numbers that have one for each record;
    ``first`` stands for what is stored in each group, where no file does, and ``coordinates`` are
    there; ``raw`` variables are stored as they are packed.
    """

    policy: Policy = NO_CHOICE
    layouts: Mapping[str, Layout] = field(default_factory=dict)
    grown: Collection[str] = ()
    first: Mapping[str, ParsedFile] = field(default_factory=dict)
    coordinates: Mapping[str, Mapping[str, xr.Variable]] = field(default_factory=dict)
    raw: Collection[str] = ()

    def of_group(self, group: str) -> dict[str, Layout]:
        """``layouts`` of one group, by name."""
        pairs = ((path.rpartition("/"), layout) for path, layout in self.layouts.items())
        return {name: layout for (owner, _, name), layout in pairs if owner == group}

    def grown_of(self, group: str) -> set[str]:
        """``grown`` of one group, by name."""
        return _of_group(self.grown, group)

    def raw_of(self, group: str) -> set[str]:
        """``raw`` of one group, by name."""
        return _of_group(self.raw, group)


def _of_group(paths: Collection[str], group: str) -> set[str]:
    pairs = (path.rpartition("/") for path in paths)
    return {name for owner, _, name in pairs if owner == group}


NOTHING_HELD = Continued()


def combine_files(
    files: list[ParsedFile],
    dimension: str | None,
    access: Access,
    skip_bad: bool = False,
    before: Boundary | None = None,
    more_follow: bool = False,
    continued: Continued = NOTHING_HELD,
) -> tuple[xr.Dataset, list[ParsedFile], list[Difference]]:
    """One dataset, the files in it in their order, and why others were left out.

    They continue what was there ``before``; ``more_follow`` says that others will continue them.
    ``continued`` says what may be done with files whose chunks fill no regular grid.

    Raises
    ------
    Refused
        With the first difference between the files, unless ``skip_bad``; for a choice that the
        user has to make.
    """
    is_first = before is None and not continued.layouts
    if dimension is None or (len(files) == 1 and is_first and not more_follow):
        if dimension is not None:
            files = [with_record_dimension(files[0], dimension)]
        dataset = files[0].dataset
        set_time_encoding(dataset, dimension)
        return dataset, files, []
    files = in_order([with_record_dimension(file, dimension) for file in files], dimension)
    if before is not None:
        before = Boundary(
            with_record_dimension(before.first, dimension),
            with_record_dimension(before.last, dimension),
        )
    files, before = _made_fit(files, dimension, access, before, more_follow, continued, skip_bad)
    chosen: list[ParsedFile] = []
    left_out: list[Difference] = []
    for number, file in enumerate(files):
        last = number == len(files) - 1 and not more_follow
        problems = _problems(chosen, file, dimension, access, last, before)
        if continued.policy.overlap is not None:  # was no help
            problems = [replace(problem, choice="") for problem in problems]
        if problems and not skip_bad:
            raise Refused(_sentence(problems))
        if problems:
            left_out.append(problems[0])
        else:
            chosen.append(file)
    if not chosen and before is None:
        raise Refused(f"No file is left to build from: {left_out[0]}")
    if not chosen:
        return xr.Dataset(), [], left_out
    dataset = xr.concat(
        [file.dataset for file in chosen],
        dim=dimension,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs=common_attributes,
    )
    # xarray takes those of what is stored once from the first.
    dataset = share_attributes(dataset, [file.dataset for file in chosen])
    set_time_encoding(dataset, dimension)
    return dataset, chosen, left_out


def _made_fit(
    files: list[ParsedFile],
    dimension: str,
    access: Access,
    before: Boundary | None,
    more_follow: bool,
    continued: Continued,
    skip_bad: bool,
) -> tuple[list[ParsedFile], Boundary | None]:
    """The files in the form that the plan gives them, and beside it what was there before."""
    layouts = continued.of_group(files[0].group)
    first = before.first if before else continued.first.get(files[0].group)
    is_new = before is None and not continued.layouts
    names = continued.raw_of(files[0].group)
    if continued.policy.packing == "raw" and is_new:
        names |= differing_packing(files, dimension)
    files = [with_raw(file, names, dimension) for file in files]
    if before is not None:
        before = Boundary(
            with_raw(before.first, names, dimension), with_raw(before.last, names, dimension)
        )
    files = with_missing(files, dimension, first)
    model = before.first if before else files[0]
    known = continued.coordinates.get(model.group)
    coordinates = dict(model.dataset.variables) if known is None else known
    digests = model.digests if known is None else {n: digest(v) for n, v in known.items()}
    share = continued.policy.tolerance
    variables = {str(name): variable for name, variable in coordinates.items()}
    files = with_coordinates(files, variables, digests, dimension, share)
    files, before = _with_scalars(files, dimension, before, continued)
    plan = make_plan(files, layouts, dimension, continued.policy, more_follow, first)
    for file in files:
        file.ways = dict(plan.ways)
    if plan.choices and not skip_bad:  # which leaves them out
        raise Refused(question(files[0].source.url, plan.choices))
    if before is not None:
        first = like_stored(before.first, layouts, plan)
        before = replace(before, first=first, last=like_stored(before.last, layouts, plan))
    return fit(files, plan, dimension, access, more_follow), before


def _with_scalars(
    files: list[ParsedFile], dimension: str, before: Boundary | None, continued: Continued
) -> tuple[list[ParsedFile], Boundary | None]:
    """Files with those scalars along the records that differ, or of which the store has many."""
    every = [before.first, *files] if before else files
    names = differing_scalars(every)
    every_name = names | continued.grown_of(files[0].group)
    parts = [along_records(file, every_name, dimension) for file in files]
    if names:
        parts[0] = replace(parts[0], notes=[*parts[0].notes, note(names, dimension)])
    if before is not None:
        before = replace(before, first=along_records(before.first, every_name, dimension))
    return parts, before


def _problems(
    chosen: list[ParsedFile],
    file: ParsedFile,
    dimension: str,
    access: Access,
    last: bool,
    before: Boundary | None,
) -> list[Difference]:
    first = before.first if before else chosen[0] if chosen else None
    previous = chosen[-1] if chosen else before.last if before else file
    differences = compare_files(first, file, dimension, access) if first else []
    if not differences and (overlap := order_problem(previous, file, dimension)):
        choice = choice_between(previous, file, dimension, access)
        differences.append(replace(overlap, choice=choice))
    if not differences and not last:
        differences += partial_chunks(file, dimension)
    return differences


def _sentence(problems: list[Difference]) -> str:
    more = f" ({len(problems) - 1} more differences in this file.)" if len(problems) > 1 else ""
    return f"{problems[0]}{more}"


def in_order(files: list[ParsedFile], dimension: str) -> list[ParsedFile]:
    """By the first value of the record coordinate; as given where there is none."""
    if any(len(file.dataset.indexes.get(dimension, ())) == 0 for file in files):
        return files
    try:
        return sorted(files, key=lambda file: file.dataset.indexes[dimension][0])
    except TypeError:  # two calendars: the comparison of the files will say so
        return files


def common_attributes(attributes: list[dict[str, Any]], context: object = None) -> dict[str, Any]:
    """``combine_attrs`` for ``xarray.concat``: keep what all share, refuse differing CF encoding.

    Raises
    ------
    ValueError
        If an attribute that decides how numbers are decoded differs.
    """
    shared = {}
    for key, value in attributes[0].items():
        values = [other.get(key) for other in attributes]
        if all(np.array_equal(np.asarray(value), np.asarray(other)) for other in values):
            shared[key] = value
        elif key in CF_ENCODING:
            raise ValueError(f"{key} differs between files: {values[:5]}")
    return shared
