"""HDF4 by pyhdf, run in a process of its own, which its library can end.

A ``file`` is its path, its size and its time of change, which tell whether it is still the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import pyhdf.VS  # noqa: F401  (gives HDF its vstart)
from pyhdf.error import HDF4Error
from pyhdf.HDF import HDF
from pyhdf.SD import SD

File = tuple[str, int, int]


TYPES = {
    **{3: "u1", 4: "S1", 5: "f4", 6: "f8", 20: "i1", 21: "u1"},
    **{22: "i2", 23: "u2", 24: "i4", 25: "u4", 26: "i8", 27: "u8"},
}
"""HDF4's number types and those of NumPy."""


def datasets(file: File) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All scientific datasets, in their order, and the attributes of the file.

    Returns
    -------
    datasets : list of dict
        ``name``, ``dims``, ``shape``, ``dtype`` (as NumPy names it) and ``attributes`` of each.
    attributes : dict

    Raises
    ------
    ValueError
        For what pyhdf cannot read, and for a number type that is not known here.
    """
    with _errors():
        opened = _open(file)
        described = []
        for index in range(opened.info()[0]):
            dataset = opened.select(index)
            name, _, shape, kind, _ = dataset.info()
            shape = (shape,) if isinstance(shape, int) else tuple(shape)
            if kind not in TYPES:
                raise ValueError(f"an HDF4 number type that is not known here: {kind}")
            dims = [dataset.dim(axis).info()[0] for axis in range(len(shape))]
            attributes = _attributes(dataset)
            described.append(
                {
                    "name": name,
                    "dims": tuple(dim.replace(":", "_").replace("/", "_") for dim in dims),
                    "shape": shape,
                    "dtype": TYPES[kind],
                    "attributes": attributes,
                }
            )
            dataset.endaccess()
        return described, _attributes(opened)


def read(file: File, index: int, start: list[int], count: list[int], dtype: str) -> np.ndarray:
    """A part of a dataset, with as many dimensions as that has."""
    if 0 in count:
        return np.empty(count, dtype)
    with _errors():
        dataset = _open(file).select(index)
        try:
            values = dataset.get(start, count)
        finally:
            dataset.endaccess()
    return np.asarray(values).reshape(count).astype(dtype, copy=False)


def tables(file: File) -> list[tuple[str, str, int, int, int]]:
    """Name, class, reference, records and fields of each table; none where they cannot be read."""
    try:
        with _tables(file) as opened:
            return [tuple(info[:5]) for info in opened.vdatainfo()]
    except HDF4Error:
        return []


def columns(file: File, reference: int) -> list[tuple[str, int, np.ndarray]]:
    """Name, numbers in a row, and values of each field of a table."""
    with _errors(), _tables(file) as opened:
        table = opened.attach(reference)
        try:
            fields = table.fieldinfo()
            rows = table.read(table.inquire()[0])
        finally:
            table.detach()
    arrays = []
    for number, (name, kind, order, *_) in enumerate(fields):
        values = [row[number] for row in rows]
        text = TYPES.get(kind) == "S1"
        array = np.array(values) if text else np.asarray(values, TYPES.get(kind))
        arrays.append((name, order, array))
    return arrays


@lru_cache(maxsize=1)
def _open(file: File) -> SD:
    return SD(file[0])


@contextmanager
def _tables(file: File) -> Iterator[Any]:
    opened = HDF(file[0])
    try:
        interface = opened.vstart()
        try:
            yield interface
        finally:
            interface.end()
    finally:
        opened.close()


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except HDF4Error as error:
        raise ValueError(f"pyhdf cannot read it: {error}") from error


def _attributes(item: Any) -> dict[str, Any]:
    """Numbers and text as they are, lists as arrays, as xarray has them."""
    return {
        key: value if isinstance(value, str | int | float) else np.asarray(value)
        for key, value in item.attributes().items()
    }
