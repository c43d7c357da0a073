"""A store, opened group by group as its readers open it."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr

from vzarr.combine.description import Descriptions, describe_dataset
from vzarr.combine.store_metadata import GroupInStore
from vzarr.errors import Refused, first_line, raise_fault
from vzarr.repository.layouts import open_arrays, told_ways
from vzarr.upstream.zarr import dimension_names
from vzarr.verification.report import Failure, Report


@dataclass(frozen=True)
class OpenedGroup:
    """One group of the store beside what its commit says of it. ``starts``: of files along it."""

    group: str
    dataset: xr.Dataset
    metadata: GroupInStore
    starts: np.ndarray
    described: Descriptions


def open_group(
    store: icechunk.IcechunkStore, group: str, metadata: GroupInStore, report: Report
) -> OpenedGroup | None:
    """A group to be compared with its files; None, and a failure in ``report``, if it cannot be.

    Adds its variables to ``report``.
    """
    prefix = f"{group}/" if group else ""
    report.virtual += [prefix + name for name in metadata["virtual"]]
    report.native |= {prefix + name: why for name, why in metadata["native"].items()}
    if metadata.get("ways") or metadata.get("raw"):
        ways = told_ways(metadata, open_arrays(store, group))
        report.ways |= {prefix + name: way for name, way in ways.items()}
    report.dropped |= {prefix + name: why for name, why in metadata["dropped"].items()}
    starts = np.cumsum([0, *(record["length"] for record in metadata["sources"])])
    try:
        dataset = open_store(store, group)
    except Exception as error:
        raise_fault("the store", error)
        names = [*metadata["virtual"], *metadata["loaded"]]
        what = f"group {group} with {', '.join(names)}" if group else "the store"
        url = metadata["sources"][0]["url"]
        report.failures.append(Failure(url, f"{what} cannot be opened: {first_line(error)}"))
        report.failures += uneven_lengths(store, group, metadata, starts)
        return None
    dimension = metadata["concat_dim"]
    inner = next((r["within"][0] for r in metadata["sources"] if "within" in r), None)
    described = Descriptions(describe_dataset(dataset), dimension, inner)
    stored = OpenedGroup(group, dataset, metadata, starts, described)
    steps = dataset.sizes.get(dimension, starts[-1])
    if steps != starts[-1]:
        report.failures += uneven_lengths(store, group, metadata, starts)
        return None
    if len(metadata["sources"]) > 1 and (problem := find_disorder(stored)):
        report.failures.append(problem)
    return stored


def uneven_lengths(
    store: icechunk.IcechunkStore, group: str, metadata: GroupInStore, starts: np.ndarray
) -> list[Failure]:
    """Variables that have more or fewer steps than the files together."""
    dimension, total = metadata["concat_dim"], int(starts[-1])
    failures: list[Failure] = []
    try:
        arrays = dict(zarr.open_group(store, path=group, mode="r").arrays())
    except (KeyError, FileNotFoundError):
        return failures
    for name, array in sorted(arrays.items()):
        names = dimension_names(array)
        if dimension is None or dimension not in names:
            continue
        steps = array.shape[names.index(dimension)]
        if steps == total:
            continue
        last = min(int(np.searchsorted(starts, steps, "right")) - 1, len(starts) - 2)
        url = metadata["sources"][last]["url"]
        where = "its files end with" if steps > total else "it ends in"
        path = f"{group}/{name}".lstrip("/")
        text = f"{path} has {steps} steps along {dimension}, all files together {total}; {where}"
        failures.append(Failure(url, f"{text} this one"))
    return failures


def find_disorder(stored: OpenedGroup) -> Failure | None:
    """Where the record coordinate repeats or goes back."""
    dimension = stored.metadata["concat_dim"]
    index = stored.dataset.indexes.get(dimension)
    if index is None or (index.is_monotonic_increasing and index.is_unique):
        return None
    later = [after > before for before, after in itertools.pairwise(index)]
    at = later.index(False) + 1
    owner = int(np.searchsorted(stored.starts, at, "right")) - 1
    url = stored.metadata["sources"][owner]["url"]
    text = f"{dimension}[{at}] is {index[at]}, not later than {index[at - 1]} before it"
    return Failure(url, text)


def open_store(store: icechunk.IcechunkStore, group: str = "") -> xr.Dataset:
    """A group of the store as a user opens it; undecoded times where they cannot be decoded.

    Raises
    ------
    Refused
        If arrays differ in the length of a dimension.
    """
    options: dict[str, Any] = {"group": group or None, "consolidated": False, "chunks": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return xr.open_zarr(store, **options)
        except ValueError as error:
            if "conflicting sizes" in str(error):
                raise Refused(
                    f"The arrays of {group or 'the store'} are not as long as each other, as after "
                    f"a resize by others ({first_line(error)}). virtual_zarr.py rollback shows the "
                    "commit before again."
                ) from error
            if "decode time" not in str(error):
                raise
            return xr.open_zarr(store, decode_times=False, **options)


def spread(total: int, count: int | None) -> list[int]:
    """``count`` numbers below ``total``, the first and the last among them; all for None."""
    if count is None or count >= total:
        return list(range(total))
    return sorted({int(n) for n in np.linspace(0, total - 1, max(count, 1)).round()})


def same_dims(stored: tuple, truth: tuple) -> bool:
    """Names that readers invent for dimensions without one are not compared."""
    return len(stored) == len(truth) and all(
        left == right or str(right).startswith("phony_dim_")
        for left, right in zip(stored, truth, strict=True)
    )
