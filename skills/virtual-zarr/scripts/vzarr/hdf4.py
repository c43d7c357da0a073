"""HDF4: scientific datasets by pyhdf and by VirtualiZarr's parser, which is kerchunk's.

Each table (Vdata) is a group of native columns below ``vdata``. Raster images are not read: no
reader here knows them, and a note names how many there are.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kerchunk.hdf4
import numpy as np
import pyhdf.VS  # noqa: F401  (gives HDF its vstart)
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from pyhdf.error import HDF4Error
from pyhdf.HDF import HDF
from pyhdf.SD import SD
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import HDF4Parser

from vzarr.elsewhere import check_hdf4
from vzarr.lazy import lazy_variable
from vzarr.native import Content

TABLES = "vdata"
TYPES = {
    **{3: "u1", 4: "S1", 5: "f4", 6: "f8", 20: "i1", 21: "u1"},
    **{22: "i2", 23: "u2", 24: "i4", 25: "u4", 26: "i8", 27: "u8"},
}
"""HDF4's number types and those of NumPy."""
INTERNAL = ("Attr0.0", "Var0.0", "Dim0.0", "DimVal", "UDim0.0", "CDF0.0", "CoordVar", "SDSVar")
INTERNAL += ("RI0.0", "RIG0.0", "RIATTR", "_HDF_CHK_TBL")
"""How the classes of tables begin in which HDF4 keeps its own affairs."""
RASTER = {202, 302, 306}
"""Tags of raster images: RI8, RI and RIG."""


def list_groups(content: Content) -> list[str]:
    with _local(content) as path:
        tables = _tables(path)
        images = _count(path, {306}) or _count(path, RASTER)
    if images:
        note = f"{images} raster images that no reader here knows (hdp dumpgr, gdal_translate)"
        content.cache.setdefault("notes", []).append(f"left out: {note}")
        content.cache["instead"] = note
    return ["", *tables]


def open_raw(content: Content, group: str) -> xr.Dataset:
    if group:
        with _local(content) as path:
            reference = _tables(path)[group]
            variables = _columns(path, reference)
        for name in variables:
            content.cache.setdefault("reasons", {})[f"{group}/{name}"] = "a column of an HDF4 table"
        return xr.Dataset(variables)
    place = _local(content)
    path = place.__enter__()
    try:
        file = SD(str(path))
    except HDF4Error as error:
        place.__exit__(None, None, None)
        raise ValueError(f"pyhdf cannot read it: {error}") from error

    def close() -> None:
        file.end()
        place.__exit__(None, None, None)

    try:
        variables = {}
        for name, index in _names(file, content).items():
            variables[name] = _variable(file, index)
        attributes = {key: _plain(value) for key, value in file.attributes().items()}
    except HDF4Error as error:
        close()
        raise ValueError(f"pyhdf cannot read it: {error}") from error
    dataset = xr.Dataset(_own_lengths(variables), attrs=attributes)
    dataset.set_close(close)
    return dataset


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    if group:
        return ManifestGroup()
    kerchunk.hdf4.dtypes.update({5: ">f4", 6: ">f8"})  # kerchunk 0.2.10 swaps their bytes
    return HDF4Parser(skip_variables=drop)(url=url, registry=registry)._group


@contextmanager
def _local(content: Content) -> Iterator[Path]:
    """A path, which is all that the C library takes."""
    if isinstance(content.handle, Path):
        check_hdf4(content, content.handle)
        yield content.handle
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.hdf")
        path.write_bytes(content.read())
        check_hdf4(content, path)
        yield path


def _names(file: SD, content: Content) -> dict[str, int]:
    """Index of each dataset by its name; a name that comes again gets the index behind it."""
    names: dict[str, int] = {}
    for index in range(file.info()[0]):
        dataset = file.select(index)
        name = dataset.info()[0]
        dataset.endaccess()
        if name in names:
            name = f"{name}_{index}"
            reason = "another dataset has the same name"
            content.cache.setdefault("reasons", {})[name] = reason
        names[name] = index
    return names


def _variable(file: SD, index: int) -> xr.Variable:
    dataset = file.select(index)
    _, _, shape, kind, _ = dataset.info()
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if kind not in TYPES:
        raise ValueError(f"an HDF4 number type that is not known here: {kind}")
    dtype = np.dtype(TYPES[kind])
    dims = [dataset.dim(axis).info()[0] for axis in range(len(shape))]
    dims = [dim.replace(":", "_").replace("/", "_") for dim in dims]
    attributes = {key: _plain(value) for key, value in dataset.attributes().items()}
    kept: list[np.ndarray] = []

    def read(key: tuple) -> np.ndarray:
        if not kept:
            empty = 0 in shape
            values = np.empty(shape, dtype) if empty else np.asarray(dataset.get())
            kept.append(values.reshape(shape).astype(dtype, copy=False))
        return kept[0][key]

    return lazy_variable(tuple(dims), shape, dtype, read, attributes)


def _tables(path: Path) -> dict[str, int]:
    """The reference number of each table that a user made, by its group."""
    try:
        file = HDF(str(path))
        tables = file.vstart()
        try:
            listed = tables.vdatainfo()
        finally:
            tables.end()
            file.close()
    except HDF4Error:
        return {}
    found: dict[str, int] = {}
    for name, kind, reference, records, fields, *_ in listed:
        if not records or not fields or kind.startswith(INTERNAL):
            continue
        group = f"{TABLES}/{name.replace('/', '_').strip() or reference}"
        found[f"{group}_{reference}" if group in found else group] = reference
    return found


def _columns(path: Path, reference: int) -> dict[str, xr.Variable]:
    file = HDF(str(path))
    tables = file.vstart()
    table = tables.attach(reference)
    try:
        fields = table.fieldinfo()
        records = table.inquire()[0]
        rows = table.read(records)
    except HDF4Error as error:
        raise ValueError(f"pyhdf cannot read it: {error}") from error
    finally:
        table.detach()
        tables.end()
        file.close()
    variables = {}
    for number, (name, kind, order, *_) in enumerate(fields):
        values = [row[number] for row in rows]
        text = TYPES.get(kind) == "S1"
        array = np.array(values) if text else np.asarray(values, TYPES.get(kind))
        dims = ("row",) if array.ndim == 1 else ("row", f"{name}_{order}")
        variables[name.replace("/", "_")] = xr.Variable(dims, array)
    return variables


def _count(path: Path, tags: set[int]) -> int:
    """How many objects of these tags the file's directory lists."""
    size, at, found = path.stat().st_size, 4, 0
    seen: set[int] = set()
    with path.open("rb") as file:
        while at and at not in seen and at + 6 <= size:
            seen.add(at)
            file.seek(at)
            count, at = struct.unpack(">HI", file.read(6))
            block = file.read(12 * count)
            found += sum(tag in tags for tag, *_ in struct.iter_unpack(">HHII", _whole(block)))
    return found


def _whole(block: bytes) -> bytes:
    return block[: len(block) // 12 * 12]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else np.asarray(value)


def _own_lengths(variables: dict[str, xr.Variable]) -> dict[str, xr.Variable]:
    """HDF4 allows one name for dimensions of several lengths; the later ones get the length."""
    lengths: dict[str, int] = {}
    for variable in variables.values():
        dims = []
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            known = lengths.setdefault(dim, size)
            dims.append(dim if known == size else f"{dim}_{size}")
        variable.dims = tuple(dims)
    return variables
