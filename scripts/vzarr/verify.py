"""Does a store read as its sources do? Reopened as a user would, compared with a native reader."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.find import look_up
from vzarr.groups import stored_groups
from vzarr.native import detect_format, fetch, mismatch, open_native
from vzarr.storage import Access
from vzarr.write import open_repository

DEFAULT_SAMPLE = 5


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
    repository, metadata, snapshot = open_repository(location, access)
    session = repository.readonly_session(snapshot_id=snapshot)
    report = compare_store(session.store, metadata, access, sample=sample, progress=progress)
    _check_virtual(session, metadata, report)
    _check_sources(metadata["sources"], access, report)
    return report


def compare_store(
    store: icechunk.IcechunkStore,
    metadata: dict[str, Any],
    access: Access,
    *,
    sample: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Compare the decoded values of a store, committed or not, with the files behind it."""
    picked = spread(len(metadata["sources"]), sample)
    report = Report(sources=len(metadata["sources"]), compared=len(picked))
    stored = stored_groups(metadata)
    total = len(stored) * len(picked)
    for number, (group, kept) in enumerate(stored.items()):

        def show(done: int, before: int = number * len(picked)) -> None:
            progress(before + done, total)

        _compare_group(store, group, kept, picked, access, report, show)
    return report


def _compare_group(
    store: icechunk.IcechunkStore,
    group: str,
    metadata: dict[str, Any],
    picked: list[int],
    access: Access,
    report: Report,
    progress: Callable[[int], None],
) -> None:
    records = metadata["sources"]
    prefix = f"{group}/" if group else ""
    report.virtual += [prefix + name for name in metadata["virtual"]]
    report.native |= {prefix + name: why for name, why in metadata["native"].items()}
    report.dropped |= {prefix + name: why for name, why in metadata["dropped"].items()}
    try:
        dataset = open_store(store, group)
    except Exception as error:
        report.failures.append(f"the store cannot be opened: {_first_line(error)}")
        return
    starts = np.cumsum([0, *(record["length"] for record in records)])
    dimension = metadata["concat_dim"]
    steps = dataset.sizes.get(dimension, starts[-1])
    if steps != starts[-1]:
        report.failures.append(f"{dimension} has {steps} steps, its sources {starts[-1]}")
        return
    for done, number in enumerate(picked, 1):
        span = slice(int(starts[number]), int(starts[number + 1]))
        _compare_file(dataset, group, metadata, number, span, access, report)
        progress(done)


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


def _compare_file(
    dataset: xr.Dataset,
    group: str,
    metadata: dict[str, Any],
    number: int,
    span: slice,
    access: Access,
    report: Report,
) -> None:
    record = metadata["sources"][number]
    dropped, dimension = metadata["dropped"], metadata["concat_dim"]
    url = f"{record['url']}: /{group}" if group else record["url"]
    try:
        content = fetch(record["url"], access, record["size"])
        with open_native(content, detect_format(content), group, dropped) as native:
            expected = {str(name) for name in native.variables} - dropped.keys()
            stored = {str(name) for name in dataset.variables}
            for name in sorted(expected - stored):
                report.failures.append(f"{url}: {name} is in the file, but not in the store")
            for name in sorted(stored - expected):
                report.failures.append(f"{url}: {name} is in the store, but not in the file")
            for name in sorted(expected & stored):
                _compare_variable(dataset[name], native[name], url, dimension, span, report)
    except Exception as error:
        report.failures.append(f"{url}: cannot be compared: {_first_line(error)}")


def _compare_variable(
    stored: xr.DataArray,
    truth: xr.DataArray,
    url: str,
    dimension: str | None,
    span: slice,
    report: Report,
) -> None:
    name = truth.name
    grown = dimension is not None and dimension in stored.dims and dimension not in truth.dims
    if dimension is not None and dimension in stored.dims:
        stored = stored.isel({dimension: span})
        if grown:
            stored = stored.isel({dimension: 0})
    if stored.shape != truth.shape:
        report.failures.append(f"{url}: {name} has shape {stored.shape}, in the file {truth.shape}")
        return
    packed = bool({"scale_factor", "add_offset"} & truth.encoding.keys())
    units = (stored.attrs.get("units"), truth.attrs.get("units"))
    if units[0] != units[1]:
        report.failures.append(f"{url}: {name} has units {units[0]!r}, in the file {units[1]!r}")
    try:
        left = np.asarray(stored.values)
    except Exception as error:
        report.failures.append(f"{url}: {name} cannot be read: {_first_line(error)}")
        return
    right = np.asarray(truth.values)
    if left.dtype.kind != right.dtype.kind and "M" in (left.dtype.kind, right.dtype.kind):
        left, right = left.astype(object).astype(str), right.astype(object).astype(str)
    report.values += right.size
    differ = np.atleast_1d(mismatch(left, right, packed)).reshape(right.shape or (1,))
    if differ.any():
        index = tuple(int(n) for n in np.argwhere(differ)[0])[: right.ndim]
        report.failures.append(
            f"{url}: {name}{list(index)} reads {left[index]}, in the file {right[index]} "
            f"({int(differ.sum())} of {right.size} values differ)"
        )


def _check_virtual(session: icechunk.Session, metadata: dict[str, Any], report: Report) -> None:
    """Every variable that was written virtual must consist of references still."""
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
        chunks = zip(array.shape, array.chunks, strict=True)
        last = tuple(-(-size // chunk) - 1 for size, chunk in chunks)
        kinds = [session.chunk_type(f"/{name}", at) for at in ((0,) * array.ndim, last)]
        native = [icechunk.ChunkType.native, icechunk.ChunkType.inline]
        if any(kind in native for kind in kinds):
            report.failures.append(f"{name} is no longer virtual: it has chunks of its own")


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
