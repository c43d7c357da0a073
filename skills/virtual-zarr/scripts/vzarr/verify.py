"""Does a store read as its sources do? Reopened as a user would, compared with a native reader."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.check import same
from vzarr.described import Description, Descriptions, describe_dataset
from vzarr.errors import is_failure, raise_fault
from vzarr.find import look_up
from vzarr.groups import stored_groups
from vzarr.history import Held
from vzarr.limits import box_shape, boxes
from vzarr.named import describe_named
from vzarr.native import (
    Content,
    detect_format,
    fetch,
    hdf5_unwritten,
    is_by_netcdf,
    list_groups,
    mismatch,
    open_native,
    rounding,
)
from vzarr.parse import MEANING, plain
from vzarr.references import count_native
from vzarr.storage import Access
from vzarr.trust import naming, reaching
from vzarr.write import open_any_repository, open_repository

DEFAULT_SAMPLE = 5
BLOCK = 128 * 1024**2
"""Bytes of a variable that are compared at a time."""
CHUNKS = 200_000
"""Chunks that are compared at a time: each that is read takes a kilobyte meanwhile."""


@dataclass
class Report:
    """What verification found. ``failures`` are whole sentences; without any the store is right."""

    sources: int = 0
    compared: int = 0
    values: int = 0
    virtual: list[str] = field(default_factory=list)
    native: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, **asdict(self)}


def verify_repository(
    location: str,
    access: Access,
    *,
    sample: int | None = DEFAULT_SAMPLE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare a repository that this tool built with its sources.

    ``sample`` files spread over the whole, or all for None. Every source's size and time of change
    is looked up in any case.

    Raises
    ------
    InputError
        If there is no such repository.
    """
    access = naming(access, location=location)
    repository, session, held = open_repository(location, access)
    access = reaching(access, repository.config, location)
    metadata = held.metadata
    numbers = None
    if sample is not None:
        total = len(metadata["sources"])
        touched = _touched(repository, session, held) if held.others else set()
        numbers = sorted({*spread(total, sample), *touched})
    report = compare_store(session.store, metadata, access, numbers=numbers, progress=progress)
    report.notes += held.notes
    _check_virtual(session, metadata, report, everything=sample is None)
    _check_sources(metadata["sources"], access, report)
    return report


def _touched(repository: icechunk.Repository, session: icechunk.Session, held: Held) -> set[int]:
    """The sources whose chunks others wrote since this tool's last commit; all if it is gone."""
    metadata = held.metadata
    everything = set(range(len(metadata["sources"])))
    if held.own is None:
        return everything
    changes = repository.diff(from_snapshot_id=held.own, to_snapshot_id=session.snapshot_id)
    root = zarr.open_group(session.store, mode="r")
    touched: set[int] = set()
    for path, chunks in changes.updated_chunks.items():
        group = path.strip("/").rpartition("/")[0]
        kept = stored_groups(metadata).get(group)
        array = root.get(path.strip("/"))
        if kept is None or not isinstance(array, zarr.Array):
            continue
        names = array.metadata.dimension_names or ()
        if kept["concat_dim"] not in names:
            continue  # of all files, so the comparison of any shows it
        axis = names.index(kept["concat_dim"])
        ends = np.cumsum([record["length"] for record in kept["sources"]])
        steps = np.array(sorted({index[axis] for index in chunks})) * array.chunks[axis]
        touched |= set(np.searchsorted(ends, steps, "right").tolist())
    return touched & everything


def verify_named(
    location: str,
    patterns: list[str],
    access: Access,
    *,
    concat_dim: str | None = None,
    source_group: str | None = None,
    skip: tuple[str, ...] = (),
    sample: int | None = DEFAULT_SAMPLE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare any Icechunk repository with the files that it was made of.

    Raises
    ------
    InputError
        If there is no such repository, or no such file.
    """
    access = naming(access, patterns, location)
    repository = open_any_repository(location, access)
    access = reaching(access, repository.config, location)
    session = repository.readonly_session("main")
    metadata = describe_named(
        session.store,
        patterns,
        access,
        concat_dim=concat_dim,
        source_group=source_group,
        skip=skip,
    )
    report = compare_store(session.store, metadata, access, sample=sample, progress=progress)
    _check_virtual(session, metadata, report, everything=sample is None)
    return report


def compare_store(
    store: icechunk.IcechunkStore,
    metadata: dict[str, Any],
    access: Access,
    *,
    sample: int | None = None,
    numbers: Sequence[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare the decoded values of a store, committed or not, with the files behind it.

    ``numbers`` of the files to compare, else a ``sample`` of them.
    """
    records = metadata["sources"]
    if metadata.get("moved"):
        access = replace(access, moved=tuple(metadata["moved"]))
    report = Report(sources=len(records))
    pairs = [
        pair
        for group, kept in stored_groups(metadata).items()
        if (pair := _open_group(store, group, kept, report))
    ]
    if len(pairs) < len(stored_groups(metadata)):
        return report
    picked = spread(len(records), sample) if numbers is None else numbers
    for done, number in enumerate(picked, 1):
        url = records[number]["url"]
        try:
            content = fetch(url, access, records[number]["size"])
            for pair in pairs:
                _compare_file(content, pair, number, report)
        except Exception as error:
            raise_fault(url, error)
            report.failures.append(f"{url}: cannot be compared: {_first_line(error)}")
        report.compared += 1
        progress(done, len(picked))
    for pair in pairs:
        place = f"/{pair.group}: " if pair.group else ""
        found = pair.described.failures(of_all=len(picked) == len(records))
        report.failures += [f"{place}{sentence}" for sentence in found]
    return report


@dataclass(frozen=True)
class _Stored:
    """One group of the store beside what its commit says of it. ``starts``: of files along it."""

    group: str
    dataset: xr.Dataset
    metadata: dict[str, Any]
    starts: np.ndarray
    described: Descriptions


def _open_group(
    store: icechunk.IcechunkStore, group: str, metadata: dict[str, Any], report: Report
) -> _Stored | None:
    prefix = f"{group}/" if group else ""
    report.virtual += [prefix + name for name in metadata["virtual"]]
    report.native |= {prefix + name: why for name, why in metadata["native"].items()}
    report.dropped |= {prefix + name: why for name, why in metadata["dropped"].items()}
    starts = np.cumsum([0, *(record["length"] for record in metadata["sources"])])
    try:
        dataset = open_store(store, group)
    except Exception as error:
        raise_fault("the store", error)
        names = [*metadata["virtual"], *metadata["loaded"]]
        what = f"group {group} with {', '.join(names)}" if group else "the store"
        url = metadata["sources"][0]["url"]
        report.failures.append(f"{url}: {what} cannot be opened: {_first_line(error)}")
        report.failures += _uneven(store, group, metadata, starts)
        return None
    dimension = metadata["concat_dim"]
    described = Descriptions(describe_dataset(dataset), dimension)
    stored = _Stored(group, dataset, metadata, starts, described)
    steps = dataset.sizes.get(dimension, starts[-1])
    if steps != starts[-1]:
        report.failures += _uneven(store, group, metadata, starts)
        return None
    if len(metadata["sources"]) > 1 and (problem := _disorder(stored)):
        report.failures.append(problem)
    return stored


def _uneven(
    store: icechunk.IcechunkStore, group: str, metadata: dict[str, Any], starts: np.ndarray
) -> list[str]:
    """Variables that have more or fewer steps than the files together."""
    dimension, total, found = metadata["concat_dim"], int(starts[-1]), []
    try:
        arrays = dict(zarr.open_group(store, path=group, mode="r").arrays())
    except (KeyError, FileNotFoundError):
        return found
    for name, array in sorted(arrays.items()):
        names = array.metadata.dimension_names or ()
        if dimension is None or dimension not in names:
            continue
        steps = array.shape[names.index(dimension)]
        if steps == total:
            continue
        last = min(int(np.searchsorted(starts, steps, "right")) - 1, len(starts) - 2)
        url = metadata["sources"][last]["url"]
        where = "its files end with" if steps > total else "it ends in"
        path = f"{group}/{name}".lstrip("/")
        found.append(
            f"{url}: {path} has {steps} steps along {dimension}, all files together {total}; "
            f"{where} this one"
        )
    return found


def _disorder(stored: _Stored) -> str:
    """Where the record coordinate repeats or goes back, or an empty string."""
    dimension = stored.metadata["concat_dim"]
    index = stored.dataset.indexes.get(dimension)
    if index is None or (index.is_monotonic_increasing and index.is_unique):
        return ""
    later = [after > before for before, after in itertools.pairwise(index)]
    at = later.index(False) + 1
    owner = int(np.searchsorted(stored.starts, at, "right")) - 1
    url = stored.metadata["sources"][owner]["url"]
    return f"{url}: {dimension}[{at}] is {index[at]}, not later than {index[at - 1]} before it"


def open_store(store: icechunk.IcechunkStore, group: str = "") -> xr.Dataset:
    """A group of the store as a user opens it; undecoded times where they cannot be decoded."""
    options: dict[str, Any] = {"group": group or None, "consolidated": False, "chunks": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return xr.open_zarr(store, **options)
        except ValueError as error:
            if "decode time" not in str(error):
                raise
            return xr.open_zarr(store, decode_times=False, **options)


def spread(total: int, count: int | None) -> list[int]:
    """``count`` numbers below ``total``, the first and the last among them; all for None."""
    if count is None or count >= total:
        return list(range(total))
    return sorted({int(n) for n in np.linspace(0, total - 1, max(count, 1)).round()})


def _compare_file(content: Content, pair: _Stored, number: int, report: Report) -> None:
    """By netCDF-C where that is quicker and agrees; what counts as a failure is h5netcdf's to say.

    netCDF-C fails where a dimension is longer than the variable, and gives memory as it finds it
    for what was never written and has no fill value.
    """
    url = pair.metadata["sources"][number]["url"]
    if detect_format(content) == "hdf5" and is_by_netcdf(content):
        found = Report()
        with suppress(Exception):
            described = _compare_group(content, pair, number, found, quick=True)
            if found.passed:
                report.values += found.values
                pair.described.add(described, url)
                return
    described = _compare_group(content, pair, number, report, quick=False)
    if described is not None:
        pair.described.add(described, url)


def _compare_group(
    content: Content, pair: _Stored, number: int, report: Report, quick: bool
) -> Description | None:
    """Compare one group of one file; returns what the file says beside values, if it has it."""
    group, dataset = pair.group, pair.dataset
    dropped, dimension = pair.metadata["dropped"], pair.metadata["concat_dim"]
    span = slice(int(pair.starts[number]), int(pair.starts[number + 1]))
    url = pair.metadata["sources"][number]["url"]
    url = f"{url}: /{group}" if group else url
    group = pair.metadata.get("source_group", group)
    missing = group and group not in list_groups(content)
    if missing and not dataset.variables:
        return None
    file_format = detect_format(content)
    empty = hdf5_unwritten(content, group) if file_format == "hdf5" else {}
    with open_native(content, file_format, group, dropped, quick=quick) as native:
        expected = {str(name) for name in native.variables} - dropped.keys()
        stored = {str(name) for name in dataset.variables}
        stored -= set(pair.metadata.get("without_source", ()))
        for name in sorted(expected - stored):
            report.failures.append(f"{url}: {name} is in the file, but not in the store")
        for name in sorted(stored - expected):
            report.failures.append(f"{url}: {name} is in the store, but not in the file")
        for name in sorted(expected & stored):
            mine, truth = dataset.variables[name], native.variables[name]
            is_new = dimension not in native.dims and (truth.ndim or name == dimension)
            if is_new and dimension in mine.dims:
                truth = truth.set_dims((dimension, *truth.dims))
            compare_variable(name, mine, truth, url, dimension, span, report, name in empty)
        return describe_dataset(native)


def compare_variable(
    name: str,
    stored: xr.Variable,
    truth: xr.Variable,
    url: str,
    dimension: str | None,
    span: slice,
    report: Report,
    ends: bool = False,
) -> None:
    """Compare all values, a block at a time; only the ends of what was never written."""
    if not _same_dims(stored.dims, truth.dims):
        report.failures.append(
            f"{url}: {name} has the dimensions {stored.dims}, in the file {truth.dims}"
        )
        return
    if dimension in stored.dims:
        stored = stored.isel({dimension: span})
    if stored.shape != truth.shape:
        report.failures.append(f"{url}: {name} has shape {stored.shape}, in the file {truth.shape}")
        return
    rounded = rounding(truth)
    for key in MEANING:
        means, meant = stored.attrs.get(key), truth.attrs.get(key)
        # A store may lack flags; other ones than the file's would be wrong.
        if not same(means, meant) and (key == "units" or means is not None):
            report.failures.append(
                f"{url}: {name} has {key} {plain(means)!r}, in the file {plain(meant)!r}"
            )
    for box in _parts(stored, ends):
        try:
            left = np.asarray(stored[box].values)
        except BaseException as error:
            if not is_failure(error):
                raise
            raise_fault(url, error)
            report.failures.append(f"{url}: {name} cannot be read: {_first_line(error)}")
            return
        right = np.asarray(truth[box].values)
        if left.dtype.kind != right.dtype.kind and "M" in (left.dtype.kind, right.dtype.kind):
            left, right = left.astype(object).astype(str), right.astype(object).astype(str)
        report.values += right.size
        differ = np.atleast_1d(mismatch(left, right, rounded)).reshape(right.shape or (1,))
        if differ.any():
            index = tuple(int(n) for n in np.argwhere(differ)[0])[: right.ndim]
            place = [at + part.start for at, part in zip(index, box, strict=True)]
            report.failures.append(
                f"{url}: {name}{place} reads {left[index]}, in the file {right[index]} "
                f"({int(differ.sum())} of {right.size} values differ)"
            )
            return


def _same_dims(stored: tuple, truth: tuple) -> bool:
    """Names that readers invent for dimensions without one are not compared."""
    return len(stored) == len(truth) and all(
        left == right or str(right).startswith("phony_dim_")
        for left, right in zip(stored, truth, strict=True)
    )


def _parts(stored: xr.Variable, ends: bool) -> list[tuple[slice, ...]]:
    """What is compared at a time, in whole chunks; ``ends``: the first and the last part only."""
    chunk = stored.encoding.get("chunks")
    if chunk is not None and len(chunk) != stored.ndim:  # of a step along a dimension that is gone
        chunk = None
    step = box_shape(stored.shape, stored.dtype.itemsize, BLOCK, chunk, CHUNKS)
    if not ends:
        return list(boxes(stored.shape, step))
    starts = [
        [0, max(0, (size - 1) // part * part)]
        for size, part in zip(stored.shape, step, strict=True)
    ]
    corners = [[at[0] for at in starts], [at[1] for at in starts]]
    found = [
        tuple(map(slice, corner, map(sum, zip(corner, step, strict=True)))) for corner in corners
    ]
    return found if found[0] != found[1] else found[:1]


def _check_virtual(
    session: icechunk.Session, metadata: dict[str, Any], report: Report, everything: bool
) -> None:
    """Every variable that was written virtual must consist of references still.

    Looks at the first and the last chunk of each, or at ``everything``.
    """
    group = zarr.open_group(session.store, mode="r")
    names = [
        f"{path}/{name}".lstrip("/")
        for path, kept in stored_groups(metadata).items()
        for name in kept["virtual"]
    ]
    for name in names:
        array = group.get(name)
        if array is None or array.size == 0:
            continue
        if everything:
            count = count_native(session.store, name)
        else:
            chunks = zip(array.shape, array.chunks, strict=True)
            last = tuple(-(-size // chunk) - 1 for size, chunk in chunks)
            native = [icechunk.ChunkType.native, icechunk.ChunkType.inline]
            ends = {(0,) * array.ndim, last}
            count = sum(session.chunk_type(f"/{name}", at) in native for at in ends)
        if count:
            report.failures.append(
                f"{name} is no longer virtual: it has chunks of its own ({count} found)"
            )


def _check_sources(records: list[dict[str, Any]], access: Access, report: Report) -> None:
    for record in records:
        try:
            now = look_up(record["url"], access)
        except Exception as error:
            report.failures.append(f"{record['url']}: is gone: {_first_line(error)}")
            continue
        then = datetime.fromisoformat(record["last_modified"])
        if now.size != record["size"]:
            report.failures.append(
                f"{record['url']}: has {now.size} bytes, had {record['size']} when it was built"
            )
        elif now.last_modified != then or now.etag != record["etag"]:
            report.failures.append(
                f"{record['url']}: changed at {now.last_modified}, was of {then} when it was built"
            )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"
