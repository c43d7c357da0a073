"""The files behind references of references: what Kerchunk's lead to, beside the store."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.formats.detect import detect_format
from vzarr.formats.open import open_native
from vzarr.repository.references import array_paths, read_references
from vzarr.sources.content import fetch
from vzarr.sources.discover import SourceRecord, look_up
from vzarr.sources.schemes import Access
from vzarr.upstream.zarr import array_at, dimension_names
from vzarr.verification.open import open_store, spread
from vzarr.verification.report import Place, Report
from vzarr.verification.store import DEFAULT_SAMPLE, compare_store, compare_variable

READABLE = ("hdf5", "netcdf3")
"""Formats whose variables Kerchunk names as their own readers do."""


@dataclass
class Followed:
    """What became of references to files. ``metadata``: what to change in the store's."""

    metadata: StoreMetadata
    compared: int = 0
    values: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Target:
    """A file that references lead to. ``starts``: where it begins along each dimension."""

    record: SourceRecord
    starts: dict[str, int]
    groups: dict[str, dict[str, Any]]


def follow(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    access: Access,
    *,
    everything: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Followed:
    """Compare a store of references with the files that these lead to, by the files' own reader.

    A sample of them, or ``everything``. Where the files lie one behind another they become the
    repository's sources, as if it were built from them; else the references stay its source.

    Raises
    ------
    Refused
        If the store does not read as the files do.
    """
    moved = metadata
    if access.moved:
        moved = {**metadata, "moved": access.moved}
    try:
        targets = _targets(store, access)
    except InputError as error:
        note = f"compared with the bytes that references lead to only: {error}"
        return Followed(moved, notes=[note])
    picked = spread(len(targets), None if everything else DEFAULT_SAMPLE)
    described = _describe(store, metadata, targets)
    if described is None:
        report = _compare_boxes(store, [targets[n] for n in picked], metadata, access)
        followed = Followed(
            moved, notes=["verify needs the references: not files along one dimension"]
        )
    else:
        report = compare_store(store, described, access, numbers=picked, progress=progress)
        followed = Followed({**metadata, **described})
    if not report.passed:
        raise Refused(f"The references do not read as the files do: {report.failures[0]}.")
    followed.compared, followed.values = report.compared, report.values
    return followed


def _targets(store: icechunk.IcechunkStore, access: Access) -> list[_Target]:
    """The files behind the store, in their order.

    Raises
    ------
    InputError
        If one is of a format that is named differently in references.
    """
    places = _places(store)
    targets = []
    for url in sorted(places):
        source = look_up(url, access)
        content = fetch(url, access, source.size)
        file_format = detect_format(content)
        if file_format not in READABLE:
            raise InputError(f"{url}: {file_format} is not compared by variables")
        groups = {}
        for group in sorted({path.rpartition("/")[0] for path in array_paths(store)}):
            try:
                with open_native(content, file_format, group) as native:
                    sizes = {str(name): size for name, size in native.sizes.items()}
                    groups[group] = {"sizes": sizes, "names": sorted(map(str, native.variables))}
            except Refused as error:
                raise InputError(str(error)) from error
            except (OSError, KeyError):
                groups[group] = {"sizes": {}, "names": []}
        targets.append(_Target(source.as_record(), places[url], groups))
    return sorted(targets, key=lambda target: (sorted(target.starts.items()), target.record["url"]))


def _places(store: icechunk.IcechunkStore) -> dict[str, dict[str, int]]:
    """For each file, where its first chunk lies along each dimension: the lowest of all arrays."""
    root = zarr.open_group(store, mode="r")
    places: dict[str, dict[str, int]] = {}
    for path in array_paths(store):
        array = array_at(root, path)
        steps = np.array(array.shards or array.chunks, dtype=int)
        for batch in read_references(store, path):
            urls = np.array(batch.urls)
            for url in np.unique(urls):
                low = batch.index[urls == url].min(axis=0) * steps if array.ndim else ()
                starts = places.setdefault(str(url), {})
                for dim, start in zip(dimension_names(array), low, strict=True):
                    name = str(dim)
                    starts[name] = min(int(start), starts.get(name, int(start)))
    return places


def _describe(
    store: icechunk.IcechunkStore, metadata: StoreMetadata, targets: list[_Target]
) -> StoreMetadata | None:
    """Metadata as of a build from the files themselves; None if they lie otherwise."""
    sizes = _sizes(store)
    growing = sorted({name for target in targets for name, at in target.starts.items() if at})
    if len(growing) > 1 or not targets or (len(targets) > 1 and not growing):
        return None
    dimension = growing[0] if growing else metadata["concat_dim"]
    groups: dict[str, GroupRecord] = {}
    for path, group in stored_groups(metadata).items():
        lengths = [int(target.groups[path]["sizes"].get(dimension or "", 1)) for target in targets]
        total = sizes.get(path, {}).get(dimension or "")
        begins = np.cumsum([0, *lengths[:-1]]).tolist()
        starts = [target.starts.get(dimension or "", 0) for target in targets]
        if total is not None and (total != sum(lengths) or begins != starts):
            return None
        own = targets[0].groups[path]["sizes"]
        if any(own.get(dim, n) != n for dim, n in sizes.get(path, {}).items() if dim != dimension):
            return None
        if total is None and len(targets) > 1:
            lengths = [1 for _ in targets]
        stored = {name.rpartition("/")[2] for name in array_paths(store) if _parent(name) == path}
        in_files = {name for target in targets for name in target.groups[path]["names"]}
        groups[path] = {
            "virtual": group["virtual"],
            "loaded": group["loaded"],
            "native": group["native"],
            "dropped": {name: "not in the references" for name in sorted(in_files - stored)},
            "by_option": [],
            "without_source": sorted(stored - in_files),
            "concat_dim": dimension if total is not None else None,
            "lengths": lengths,
        }
    records = [target.record for target in targets]
    return {"concat_dim": dimension, "sources": records, "replaced": [], "groups": groups}


def _sizes(store: icechunk.IcechunkStore) -> dict[str, dict[str, int]]:
    root = zarr.open_group(store, mode="r")
    sizes: dict[str, dict[str, int]] = {}
    for path in array_paths(store):
        array = array_at(root, path)
        names = map(str, dimension_names(array))
        sizes.setdefault(_parent(path), {}).update(zip(names, array.shape, strict=True))
    return sizes


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _compare_boxes(
    store: icechunk.IcechunkStore,
    targets: list[_Target],
    metadata: StoreMetadata,
    access: Access,
) -> Report:
    """Compare files that lie in several dimensions, each with its part of the store.

    Variables of which nothing tells where the file begins are left alone.
    """
    report = Report(sources=len(targets))
    for group in stored_groups(metadata):
        dataset = open_store(store, group)
        for target in targets:
            url = target.record["url"]
            content = fetch(url, access, target.record["size"])
            with open_native(content, detect_format(content), group) as native:
                names = set(map(str, native.variables)) & set(map(str, dataset.variables))
                for name in sorted(names):
                    mine, truth = dataset.variables[name], native.variables[name]
                    if {*mine.dims} <= {*target.starts}:
                        _compare_box(name, mine, truth, target, report)
            report.compared += 1
    return report


def _compare_box(
    name: str, stored: xr.Variable, truth: xr.Variable, target: _Target, report: Report
) -> None:
    added = [dim for dim in stored.dims if dim not in truth.dims]
    sizes = {**truth.sizes, **dict.fromkeys(added, 1)}
    starts = {dim: target.starts.get(str(dim), 0) for dim in stored.dims}
    part = stored.isel({dim: slice(at, at + sizes[dim]) for dim, at in starts.items()})
    if added:
        part = part.isel(dict.fromkeys(added, 0))
    if math.prod(truth.shape):
        compare_variable(name, part, truth, Place(target.record["url"]), report)
