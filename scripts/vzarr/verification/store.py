"""Does a store read as its sources do? Reopened as a user would, compared with a native reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import icechunk
import numpy as np
import xarray as xr

from vzarr.combine.coordinates import apart
from vzarr.combine.description import Description, describe_dataset
from vzarr.combine.file_steps import is_gap, is_partial
from vzarr.combine.groups import stored_groups
from vzarr.combine.kinds import kinds_of, numbers_of, view_of
from vzarr.combine.mixed_array import longest_edges
from vzarr.combine.named_coordinates import from_record
from vzarr.combine.raw_packing import unpacked, unpacking_names
from vzarr.combine.store_metadata import StoredRecord, StoreMetadata, span_of
from vzarr.errors import first_line, is_failure, raise_fault
from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.open import is_by_netcdf
from vzarr.formats.hdf5.unwritten import hdf5_unwritten
from vzarr.formats.open import list_groups, open_native
from vzarr.formats.registry import load_format
from vzarr.limits import box_shape, boxes
from vzarr.sources.content import Content, fetch
from vzarr.sources.schemes import Access
from vzarr.verification.open import OpenedGroup, open_group, same_dims, spread
from vzarr.verification.removed_steps import compare_gaps, steps_there
from vzarr.verification.report import Differing, Failure, Place, Report
from vzarr.virtualize.attributes import as_python
from vzarr.virtualize.equality import mismatch, same, tolerance
from vzarr.virtualize.model import MEANING

DEFAULT_SAMPLE = 5


BLOCK = 128 * 1024**2
"""Bytes of a variable that are compared at a time."""


CHUNKS = 200_000
"""Chunks that are compared at a time: each that is read takes a kilobyte meanwhile."""


def compare_store(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
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
    if kinds := kinds_of(metadata):
        picked = spread(len(records), sample) if numbers is None else numbers
        return _compare_kinds(store, metadata, access, kinds, picked, progress)
    if metadata.get("moved"):
        old, new = metadata["moved"]
        access = replace(access, moved=(old, new))
    access = replace(access, select=tuple(metadata.get("select", ())))
    report = Report(sources=len(records))
    pairs = [
        pair
        for group, group_metadata in stored_groups(metadata).items()
        if (pair := open_group(store, group, group_metadata, report))
    ]
    if len(pairs) < len(stored_groups(metadata)):
        return report
    picked = spread(len(records), sample) if numbers is None else numbers
    for done, number in enumerate(picked, 1):
        url = records[number]["url"]
        try:
            for pair in pairs:
                compare_gaps(pair, number, report, _is_missing)
            if is_gap(records[number]):
                report.compared += 1
                progress(done, len(picked))
                continue
            content = fetch(url, access, records[number]["size"])
            content.findings.combined_along = metadata.get("concat_dim")
            for pair in pairs:
                _compare_file(content, pair, number, report)
            if not is_partial(records[number]):
                _compare_labels(content, pairs, number, report)
        except Exception as error:
            raise_fault(url, error)
            report.failures.append(Failure(url, f"cannot be compared: {first_line(error)}"))
        report.compared += 1
        progress(done, len(picked))
    of_all = len(picked) == len(records) and not metadata.get("since_removal")
    for pair in pairs:
        attribute_failures = pair.described.failures(of_all=of_all)
        report.failures += [Failure(url, text, pair.group) for url, text in attribute_failures]
    return report


def _compare_kinds(
    store: icechunk.IcechunkStore,
    metadata: StoreMetadata,
    access: Access,
    kinds: list[str],
    picked: Sequence[int],
    progress: Callable[[int, int], None],
) -> Report:
    """The sources of each kind beside their group."""
    report = Report(sources=len(metadata["sources"]))
    for kind in kinds:
        numbers = [n for n, number in enumerate(numbers_of(metadata, kind)) if number in picked]
        own = compare_store(store, view_of(metadata, kind), access, numbers=numbers)
        report.compared += own.compared
        report.values += own.values
        report.virtual += own.virtual
        report.failures += own.failures
        report.notes += own.notes
        report.native |= own.native
        report.ways |= own.ways
        report.dropped |= own.dropped
        progress(report.compared, len(picked))
    return report


def _compare_file(content: Content, pair: OpenedGroup, number: int, report: Report) -> None:
    """By netCDF-C where that is quicker and agrees; what counts as a failure is h5netcdf's to say.

    netCDF-C fails where a dimension is longer than the variable, and gives memory as it finds it
    for what was never written and has no fill value.
    """
    url = pair.metadata["sources"][number]["url"]
    if detect_format(content) == "hdf5" and is_by_netcdf(content):
        quick_report = Report()
        with suppress(Exception):
            described = _compare_group(content, pair, number, quick_report, quick=True)
            if quick_report.passed and described is not None:
                report.values += quick_report.values
                pair.described.add(described, url)
                return
    described = _compare_group(content, pair, number, report, quick=False)
    if described is not None:
        pair.described.add(described, url)


def _compare_labels(
    content: Content, pairs: Sequence[OpenedGroup], number: int, report: Report
) -> None:
    """What tells one message of a file from others, where a format has such."""
    check = getattr(load_format(detect_format(content)), "label_failures", None)
    if check is None:
        return
    stored = {}
    for pair in pairs:
        dimension = pair.metadata["concat_dim"]
        span = {dimension: span_of(pair.metadata, number)} if dimension in pair.dataset.dims else {}
        within = pair.metadata["sources"][number].get("within")
        if within and within[0] in pair.dataset.dims:
            span[within[0]] = slice(*within[1:])
        stored[pair.metadata.get("source_group", pair.group)] = pair.dataset.isel(span)
    url = pairs[0].metadata["sources"][number]["url"]
    report.failures += [Failure(url, sentence) for sentence in check(content, stored)]


def _compare_group(
    content: Content, pair: OpenedGroup, number: int, report: Report, quick: bool
) -> Description | None:
    """Compare one group of one file; returns what the file says beside values, if it has it."""
    group, dataset = pair.group, pair.dataset
    dropped, dimension = pair.metadata["dropped"], pair.metadata["concat_dim"]
    record = pair.metadata["sources"][number]
    stop = int(pair.starts[number + 1])
    span = slice(stop - record.get("covers", record["length"]), stop)
    url = record["url"]
    group = pair.metadata.get("source_group", group)
    missing = group and group not in list_groups(content)
    has_no_records = dimension is not None and not record.get("covers", record["length"])
    if missing and ("variables" in record or has_no_records or not dataset.variables):
        return None
    if missing and "within" in record:
        return _compare_missing(pair, record, span, report)
    file_format = detect_format(content)
    empty = hdf5_unwritten(content, group) if file_format == "hdf5" else {}
    with open_native(content, file_format, group, dropped, quick=quick) as native:
        expected = {str(name) for name in native.variables} - dropped.keys()
        stored = _names_of(pair, record)
        stored -= _compare_given(pair, record, span, report)
        for name in sorted(expected - stored):
            text = f"{name} is in the file, but not in the store"
            report.failures.append(Failure(url, text, pair.group))
        for name in sorted(stored - expected - _lacked_once(pair, record)):
            if not _is_missing(dataset.variables[name], dimension, span):
                text = f"{name} is in the store, but not in the file"
                report.failures.append(Failure(url, text, pair.group))
        for name in sorted(expected & stored):
            both = _side_by_side(name, native, pair, record, span)
            for mine, truth in steps_there(name, both, pair, record):
                compare_variable(name, mine, truth, Place(url, pair.group), report, name in empty)
        return describe_dataset(native)


def _compare_missing(
    pair: OpenedGroup, record: StoredRecord, span: slice, report: Report
) -> Description | None:
    """The place of a file without the group, along two dimensions: nothing may be there."""
    inner, begin, stop = record["within"]
    for name, variable in pair.dataset.data_vars.items():
        if inner in variable.dims:
            place = variable.variable.isel({inner: slice(begin, stop)})
            if not _is_missing(place, pair.metadata["concat_dim"], span):
                text = f"{name} is in the store, but not in the file"
                report.failures.append(Failure(record["url"], text, pair.group))
    return None


def _compare_given(
    pair: OpenedGroup, record: StoredRecord, span: slice, report: Report
) -> set[str]:
    """Compare coordinates that the file does not hold with what was given; returns their names."""
    dimension = pair.metadata["concat_dim"]
    given = from_record(record)
    if dimension is None:
        return set(given)
    for name, values in given.items():
        if name in pair.dataset.variables:
            stored = pair.dataset.variables[name].isel({dimension: span})
            both = stored, values.as_variable(dimension)
            for mine, truth in steps_there(name, both, pair, record):
                compare_variable(name, mine, truth, Place(record["url"], pair.group), report)
    return set(given)


def _names_of(pair: OpenedGroup, record: StoredRecord) -> set[str]:
    """The stored variables that a source has a part in, or lacks."""
    stored = {str(name) for name in pair.dataset.variables}
    stored -= {*pair.metadata.get("without_source", ()), *pair.metadata.get("foreign", ())}
    stored -= {
        more for name in pair.metadata.get("raw", ()) for more in unpacking_names(name).values()
    }
    if "variables" not in record:
        return stored
    own = {*record["variables"]}  # the others are in the files beside it
    return {name for name in stored if f"{pair.group}/{name}".lstrip("/") in own}


def _side_by_side(
    name: str, native: xr.Dataset, pair: OpenedGroup, record: StoredRecord, span: slice
) -> tuple[xr.Variable, xr.Variable]:
    """A source's part of a stored variable, and the source's own, with the same dimensions."""
    mine, truth = pair.dataset.variables[name], native.variables[name]
    dimension, within = pair.metadata["concat_dim"], record.get("within")
    if within and within[0] not in truth.dims and within[0] in mine.dims:
        at = truth.dims.index(dimension) + 1 if dimension in truth.dims else 0
        truth = truth.set_dims((*truth.dims[:at], within[0], *truth.dims[at:]))
    if "steps" in record and dimension in truth.dims:
        truth = truth.isel({dimension: slice(*record["steps"])})
    is_new = dimension not in native.dims and (truth.ndim or name == dimension)
    if is_new and dimension in mine.dims:
        truth = truth.set_dims((dimension, *truth.dims))
    elif not truth.ndim and mine.dims == (dimension,):  # one for each record
        truth = truth.set_dims({dimension: span.stop - span.start})
    elif mine.dims == (name,) and name != dimension:
        share = pair.metadata.get("tolerance", 0.0)
        if share and apart(truth.values, mine.values) <= share:
            truth = truth.copy(data=mine.values)
    if dimension in mine.dims and name in pair.metadata.get("raw", ()):
        mine = unpacked(pair.dataset.isel({dimension: span}), name, str(dimension))
    elif dimension in mine.dims:
        mine = mine.isel({dimension: span})
    if within and within[0] in mine.dims:
        mine = mine.isel({within[0]: slice(*within[1:])})
    return mine, truth


def _lacked_once(pair: OpenedGroup, record: StoredRecord) -> set[str]:
    """What does not grow, and a source has not got."""
    dimension, variables = pair.metadata["concat_dim"], pair.dataset.variables
    prefix = f"{pair.group}/" if pair.group else ""
    lacks = {*record.get("lacks", ())}
    lacked = {str(name) for name in variables if f"{prefix}{name}" in lacks}
    return {name for name in lacked if dimension not in variables[name].dims}


def _is_missing(stored: xr.Variable, dimension: str | None, span: slice) -> bool:
    """Whether a variable that grows has no value in some steps: a file of them may lack it."""
    if dimension not in stored.dims or stored.dtype.kind not in "fcM":
        return False
    mine = stored.isel({dimension: span})
    boxes_of_it = _blocks(mine, only_ends=False)
    is_missing = np.isnat if stored.dtype.kind == "M" else np.isnan
    return all(is_missing(np.asarray(mine[box].values)).all() for box in boxes_of_it)


def compare_variable(
    name: str,
    stored: xr.Variable,
    truth: xr.Variable,
    place: Place,
    report: Report,
    only_ends: bool = False,
) -> None:
    """Compare a file's variable with its part of the store, a block at a time.

    Adds to the values, and to the failures, of ``report``. ``only_ends``: of what was never written
    the first block and the last one.
    """

    def fail(text: str, values: Differing | None = None) -> None:
        report.failures.append(Failure(place.url, f"{name}{text}", place.group, values))

    if not same_dims(stored.dims, truth.dims):
        fail(f" has the dimensions {stored.dims}, in the file {truth.dims}")
        return
    if stored.shape != truth.shape:
        fail(f" has shape {stored.shape}, in the file {truth.shape}")
        return
    rounded = tolerance(truth)
    for key in MEANING:
        means, meant = stored.attrs.get(key), truth.attrs.get(key)
        # A store may lack flags; other ones than the file's would be wrong.
        if not same(means, meant) and (key == "units" or means is not None):
            fail(f" has {key} {as_python(means)!r}, in the file {as_python(meant)!r}")
    for box in _blocks(stored, only_ends):
        try:
            left = np.asarray(stored[box].values)
        except BaseException as error:
            if not is_failure(error):
                raise
            raise_fault(place.url, error)
            fail(f" cannot be read: {first_line(error)}")
            return
        right = np.asarray(truth[box].values)
        if left.dtype.kind != right.dtype.kind and "M" in (left.dtype.kind, right.dtype.kind):
            left, right = left.astype(object).astype(str), right.astype(object).astype(str)
        report.values += right.size
        differ = np.atleast_1d(mismatch(left, right, rounded)).reshape(right.shape or (1,))
        if differ.any():
            index = tuple(int(n) for n in np.argwhere(differ)[0])[: right.ndim]
            at = [n + part.start for n, part in zip(index, box, strict=True)]
            pair, count = (str(left[index]), str(right[index])), int(differ.sum())
            fail(
                f"{at} reads {pair[0]}, in the file {pair[1]} "
                f"({count} of {right.size} values differ)",
                Differing(name, tuple(at), *pair, count, right.size),
            )
            return


def _blocks(stored: xr.Variable, only_ends: bool) -> list[tuple[slice, ...]]:
    """What is compared at a time, in whole chunks; or the first and the last of these."""
    chunk = longest_edges(stored.encoding.get("chunks"))
    if chunk is not None and len(chunk) != stored.ndim:  # of a step along a dimension that is gone
        chunk = None
    step = box_shape(stored.shape, stored.dtype.itemsize, BLOCK, chunk, CHUNKS)
    if not only_ends:
        return list(boxes(stored.shape, step))
    starts = [
        [0, max(0, (size - 1) // part * part)]
        for size, part in zip(stored.shape, step, strict=True)
    ]
    corners = [[at[0] for at in starts], [at[1] for at in starts]]
    blocks = [
        tuple(map(slice, corner, map(sum, zip(corner, step, strict=True)))) for corner in corners
    ]
    return blocks if blocks[0] != blocks[1] else blocks[:1]
