"""Whether new files can follow what is stored, and in which form."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.changes.append_request import AppendRequest
from vzarr.changes.replacement_fit import NO_DIMENSION
from vzarr.changes.stored_files import (
    expected_in_store,
    lacks_group,
    other_groups,
    stored_file,
    stored_part,
)
from vzarr.combine.combine import Continued, in_order
from vzarr.combine.compatibility import Difference, compare_files
from vzarr.combine.coordinates import with_coordinates
from vzarr.combine.fitting import fit, like_stored, make_plan
from vzarr.combine.groups import stored_groups
from vzarr.combine.lacking import with_parts, without_records
from vzarr.combine.missing import with_missing
from vzarr.combine.order import order_problem
from vzarr.combine.overlap import choice_beside
from vzarr.combine.plan import GROUPS, Policy, question
from vzarr.combine.raw_packing import with_raw
from vzarr.combine.scalars import along_records, differing_scalars
from vzarr.combine.store_metadata import GroupInStore, StoreMetadata
from vzarr.combine.times import finer_unit
from vzarr.errors import Refused
from vzarr.formats.open import open_native
from vzarr.repository.layouts import grown_numbers, stored_layouts
from vzarr.sources.content import fetch
from vzarr.sources.schemes import Access, as_url
from vzarr.text import drop_options
from vzarr.verification.open import open_store
from vzarr.virtualize.equality import mismatch, tolerance
from vzarr.virtualize.model import ParsedFile, digest

BUILD_ANEW = "Nothing was committed: build such files into a store of their own, or all anew"


@dataclass
class Fitting:
    """``files`` that can follow, and the sentences for those ``left_out``.

    ``grown`` names scalars that lie along the records from now on; ``stored`` is each group of the
    store in the form that it gets then, ``once`` the values of what does not grow.
    """

    files: list[ParsedFile]
    left_out: list[str]
    grown: list[str] = field(default_factory=list)
    stored: dict[str, ParsedFile] = field(default_factory=dict)
    once: dict[str, dict[str, xr.Variable]] = field(default_factory=dict)


def find_fitting(
    request: AppendRequest,
    files: list[ParsedFile],
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    *,
    late: bool = False,
    more_follow: bool = False,
) -> Fitting:
    """Those new files that agree with the store in all that arrays share.

    ``late``: they are to be moved between what is stored, so they need not be later than it is.
    ``more_follow``: others will lie behind the last of them.

    Raises
    ------
    Refused
        For the first that does not, unless such may be left out.
    """
    location = as_url(request.location)
    stored = {
        group: stored_file(store, location, group, stored_group)
        for group, stored_group in stored_groups(metadata).items()
    }
    once = {
        group: static_values(store, group, stored_group)
        for group, stored_group in (stored_groups(metadata).items() if files else ())
    }
    parts, grown = _made_fit(request, files, stored, once, store, metadata, more_follow)
    fitting = Fitting([], [], grown, dict(stored), once)
    for file in files:
        problems = other_groups(file, location, metadata)
        for group, stored_group in stored_groups(metadata).items():
            if lacks_group(file, group):
                problems += _lacked_group(stored[group], file, stored_group)
                continue
            part = parts[group][file.source.url]
            dimension = stored_group["concat_dim"] or metadata["concat_dim"] or NO_DIMENSION
            beside_it = expected_in_store(stored[group], part, stored_group)
            problems += compare_files(beside_it, part, dimension, request.access)
            if not late:
                problems += _order_problems(
                    stored[group], part, stored_group, store, request.access
                )
            problems += _finer_times(stored[group], part, stored_group, store)
            if not problems:
                problems += other_values(part, once[group], location, request.access)
        if not problems:
            fitting.files.append(_with_stored_groups(file, stored, metadata))
            continue
        sentence = str(replace(problems[0], advice=_advice(problems[0])))
        if not request.skip_bad:
            raise Refused(sentence)
        fitting.left_out.append(sentence)
    if fitting.files and policy_of(request, metadata).irregular == "refuse":
        for group, stored_group in stored_groups(metadata).items():
            _check_last_chunk(stored[group], stored_group, fitting.files[0].source.url)
    return fitting


def _advice(problem: Difference) -> str:
    """What to do with a file that does not fit."""
    if (problem.what, problem.value) != ("the variable", "present"):
        return BUILD_ANEW
    return f"{BUILD_ANEW}; {drop_options([problem.variable])} leaves the variable out"


def policy_of(request: AppendRequest, metadata: StoreMetadata) -> Policy:
    """What this run was told, or the build."""
    shares = [stored_group.get("tolerance", 0.0) for stored_group in metadata["groups"].values()]
    overlap = request.overlap or metadata.get("overlap")
    irregular = request.irregular or metadata.get("irregular")
    irregular = None if irregular == GROUPS else irregular  # which says nothing of one of them
    return Policy(irregular, max(shares, default=0.0), overlap)


def _made_fit(
    request: AppendRequest,
    files: list[ParsedFile],
    stored: dict[str, ParsedFile],
    once: dict[str, dict[str, xr.Variable]],
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    more_follow: bool,
) -> tuple[dict[str, dict[str, ParsedFile]], list[str]]:
    """By group and URL: new files in the form in which they can follow what is ``stored``.

    This gets the form that it will have then. ``once``: the values of what does not grow. Also
    returns the names of scalars that have grown.
    """
    ways = {}
    grown = grown_numbers(store, stored_groups(metadata))
    for group, stored_group in stored_groups(metadata).items():
        having = [file for file in files if not lacks_group(file, group)]
        parts = [stored_part(file, group, stored_group) for file in having]
        dimension = stored_group["concat_dim"]
        if dimension is not None and parts:
            raw = stored_group.get("raw", ())
            parts = [with_raw(part, raw, dimension) for part in in_order(parts, dimension)]
            parts = with_missing(parts, dimension, stored[group])
            share = policy_of(request, metadata).tolerance
            known = {name: digest(variable) for name, variable in once[group].items()}
            parts = with_coordinates(parts, once[group], known, dimension, share)
            more = differing_scalars(parts) | _other_scalars(parts, once[group])
            grown += [f"{group}/{name}".lstrip("/") for name in more]
            names = Continued(grown=grown).grown_of(group)
            parts = [along_records(part, names, dimension) for part in parts]
            stored[group] = _with_grown(stored[group], more, parts[0], dimension)
            layouts = stored_layouts(store, group, stored_group)
            policy = policy_of(request, metadata)
            plan = make_plan(parts, layouts, dimension, policy, more_follow, stored[group])
            if plan.choices and not request.skip_bad:
                asked = question(parts[0].source.url, plan.choices)
                raise Refused(f"{asked} Nothing was committed.")
            parts = fit(parts, plan, dimension, request.access, more_follow)
            stored[group] = like_stored(stored[group], layouts, plan)
        ways[group] = {part.source.url: part for part in parts}
    return ways, grown


def _lacked_group(
    stored: ParsedFile, file: ParsedFile, stored_group: GroupInStore
) -> list[Difference]:
    """Why a file must have a group: one that is stored once, or whose records nothing tells."""
    dimension = stored_group["concat_dim"]
    if dimension is not None and dimension in stored.dataset.variables:
        return []
    url, told = file.source.url, ("absent", "present")
    return [Difference(url, f"/{stored.group}", "the group", *told, stored.source.url)]


def _with_stored_groups(
    file: ParsedFile, stored: dict[str, ParsedFile], metadata: StoreMetadata
) -> ParsedFile:
    """A file with those groups of the store that it has not got, without records."""
    dimension = metadata["concat_dim"]
    lacked = [group for group in stored if lacks_group(file, group)]
    parts = {group: without_records(stored[group], file, str(dimension)) for group in lacked}
    return with_parts(file, parts, lacked) if lacked else file


def _order_problems(
    stored: ParsedFile,
    part: ParsedFile,
    stored_group: GroupInStore,
    store: icechunk.IcechunkStore,
    access: Access,
) -> list[Difference]:
    dimension = stored_group["concat_dim"]
    if dimension is None or dimension not in part.dataset.indexes:
        return []
    stored_dataset = open_store(store, stored.group)
    if dimension not in stored_dataset.indexes or not len(stored_dataset.indexes[dimension]):
        return []
    before = replace(stored, dataset=xr.Dataset(coords={dimension: stored_dataset[dimension]}))
    try:
        problem = order_problem(before, part, dimension)
    except TypeError:  # dates of two calendars
        mine, theirs = (file.packing[dimension].get("calendar") for file in (part, stored))
        url = part.source.url
        return [Difference(url, dimension, "calendar", mine, theirs, stored.source.url)]
    if problem is None:
        return []
    choice = choice_beside(part, stored_dataset, stored_group, access)
    return [replace(problem, choice=choice)]


def static_values(
    store: icechunk.IcechunkStore, group: str, stored_group: GroupInStore
) -> dict[str, xr.Variable]:
    """What is stored once; without what cannot be read, of which the last comparison will tell."""
    digests = {}
    for name, variable in open_store(store, group).variables.items():
        if stored_group["concat_dim"] not in variable.dims:
            with suppress(icechunk.IcechunkError):
                digests[str(name)] = variable.load()
    return digests


def _other_scalars(parts: list[ParsedFile], once: dict[str, xr.Variable]) -> set[str]:
    """Scalars that the store has once, and that are others in one of several new files."""
    digests = {name: digest(variable) for name, variable in once.items() if not variable.ndim}
    return {
        name
        for part in parts
        for name, expected in part.digests.items()
        if name in digests
        and name in part.scalars
        and digests[name] != expected
        and np.any(mismatch(once[name].values, part.scalars[name].values, tolerance(once[name])))
    }


def _with_grown(
    stored: ParsedFile, names: set[str], part: ParsedFile, dimension: str
) -> ParsedFile:
    """The stored group as it is once its scalars of these ``names`` are as those of a file are."""
    shape = (stored.dataset.sizes[dimension],)
    new = {
        name: xr.Variable(
            (dimension,), np.broadcast_to(np.empty((), part.dataset[name].dtype), shape)
        )
        for name in names
        if not stored.dataset[name].ndim
    }
    return replace(stored, dataset=stored.dataset.drop_vars(list(new)).assign(new))


def other_values(
    part: ParsedFile, variables: dict[str, xr.Variable], location: str, access: Access
) -> list[Difference]:
    """What is stored once, and is not the same in a new file."""
    names = [
        name
        for name, expected in part.digests.items()
        if name in variables and digest(variables[name]) != expected
    ]
    if not names:
        return []
    problems = []
    content = fetch(part.source.url, access, part.source.size)
    with open_native(content, part.file_format, part.native_group, part.dropped) as native:
        for name in names:
            mine, theirs = native[name].values, variables[name].values
            differ = np.atleast_1d(mismatch(theirs, mine, tolerance(native[name])))
            if differ.any():
                index = tuple(np.argwhere(differ)[0][: mine.ndim])
                values = (mine[index], theirs[index])
                problems.append(Difference(part.source.url, name, "the value", *values, location))
    return problems


def _finer_times(
    stored: ParsedFile, part: ParsedFile, stored_group: GroupInStore, store: icechunk.IcechunkStore
) -> list[Difference]:
    """Times that the store's whole seconds, or other units, cannot hold."""
    problems = []
    for name, variable in part.dataset.variables.items():
        if name in stored.packing and stored_group["concat_dim"] in variable.dims:
            path = f"{stored.group}/{name}".lstrip("/")
            if units := finer_unit(variable, zarr.open_array(store, path=path, mode="r")):
                what = "the resolution of its times"
                problems.append(Difference(part.source.url, name, what, *units, stored.source.url))
    return problems


def _check_last_chunk(stored: ParsedFile, stored_group: GroupInStore, url: str) -> None:
    """Nothing can follow a partial chunk: Zarr's chunks are regular, later data would shift."""
    dimension = stored_group["concat_dim"]
    for name in stored_group["virtual"]:
        variable = stored.dataset.variables.get(name)
        if variable is None or dimension not in variable.dims:
            continue
        axis = variable.dims.index(dimension)
        chunks = variable.data.metadata.chunk_grid.chunk_shape
        if variable.shape[axis] % chunks[axis]:
            raise Refused(
                f"{url}: {name}: cannot follow {variable.shape[axis]} steps of {dimension} in "
                f"chunks of {chunks[axis]}, the last of them partial, in "
                f"{stored.source.url}: later data would be shifted. {BUILD_ANEW}."
            )
