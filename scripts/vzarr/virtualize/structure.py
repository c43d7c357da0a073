"""The structure of an HDF5 file: what files of one layout share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5o, h5r, h5t

from vzarr.limits import box_shape, boxes
from vzarr.sources.elsewhere import leads_elsewhere
from vzarr.upstream.hdf5_names import name_once
from vzarr.virtualize.model import CF_ENCODING, DIGESTED

DECODING = frozenset({*CF_ENCODING, "coordinates", "bounds", "dtype", "_Encoding"})
"""Attributes that decide what stored numbers mean, or which variables are coordinates."""


HIDDEN = frozenset(
    {
        *("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST"),
        *("_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict", "_NCProperties"),
    }
)
"""Attributes by which HDF5 and netCDF-4 keep dimensions; not a variable's own."""


Attributes = dict[str, tuple[Any, ...]]
"""By name: type, shape and bytes, or the value where that has no fixed length."""


@dataclass
class Item:
    """A dataset or group as it is in a file. ``structure`` is equal for files of one layout."""

    item: h5py.Dataset | h5py.Group
    structure: tuple
    attributes: Attributes


def structure_of(items: dict[str, Item]) -> tuple:
    """What is equal for files of one layout."""
    return tuple((path, item.structure) for path, item in items.items())


def walk_items(file: h5py.File) -> dict[str, Item] | None:
    """All groups and datasets by path; None for a file that only the parser itself can judge."""
    if file.userblock_size:
        return None
    items: dict[str, Item] = {}
    seen = {h5o.get_info(file.id).addr}

    def visit(group: h5py.Group, path: str) -> bool:
        attributes = _attributes(group)
        if attributes is None:
            return False
        items[path] = Item(group, (), attributes)
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                return False
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen:
                return False
            seen.add(address)
            below = f"{path}/{name}".lstrip("/")
            if isinstance(item, h5py.Group):
                if not visit(item, below):
                    return False
            elif isinstance(item, h5py.Dataset):
                attributes = _attributes(item)
                if attributes is None or leads_elsewhere(item):
                    return False
                items[below] = Item(item, _storage(item), attributes)
            else:
                return False
        return True

    return items if visit(file, "") else None


def _storage(dataset: h5py.Dataset) -> tuple:
    """Type, shape, chunks, filters, fill value and dimensions; not where its bytes are."""
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    space = dataset.id.get_space()
    simple = space.get_simple_extent_type() == h5py.h5s.SIMPLE
    fill = None
    if plan.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED and dataset.dtype.kind != "O":
        value = np.zeros((), dataset.dtype)
        plan.get_fill_value(value)
        fill = value.tobytes()
    return (
        dataset.id.get_type().encode(),
        dataset.shape,
        space.get_simple_extent_dims(True) if simple else None,
        layout,
        plan.get_chunk() if layout == h5d.CHUNKED else plan.get_external_count(),
        tuple(plan.get_filter(number) for number in range(plan.get_nfilters())),
        fill,
        plan.get_fill_time(),
        dataset.id.get_storage_size() > 0,
        _dimensions(dataset),
    )


def _dimensions(dataset: h5py.Dataset) -> tuple:
    """Names of the scales of each axis, and the dataset's own role among them."""
    roles = tuple(
        _value(dataset, name)
        for name in (b"CLASS", b"NAME", b"_Netcdf4Dimid", b"_Netcdf4Coordinates")
    )
    if not h5a.exists(dataset.id, b"DIMENSION_LIST"):
        return roles
    scales = tuple(
        tuple(name_once(h5r.dereference(reference, dataset.id)) for reference in axis)
        for axis in dataset.attrs["DIMENSION_LIST"]
    )
    return (*roles, scales)


def _value(item: h5py.Dataset | h5py.Group, name: bytes) -> tuple | None:
    return _attribute(item, h5a.open(item.id, name)) if h5a.exists(item.id, name) else None


def _attributes(item: h5py.Dataset | h5py.Group) -> Attributes | None:
    """Those of a variable's own; None if one is of a type that is not compared here."""
    attributes = {}
    for number in range(h5a.get_num_attrs(item.id)):
        opened = h5a.open(item.id, index=number)
        name = opened.name.decode("utf-8", "surrogateescape")
        if name in HIDDEN:
            continue
        value = _attribute(item, opened)
        if value is None:
            return None
        attributes[name] = value
    return attributes


def _attribute(item: h5py.Dataset | h5py.Group, opened: h5a.AttrID) -> tuple | None:
    stored = opened.get_type()
    kind = stored.get_class()
    if kind in (h5t.INTEGER, h5t.FLOAT) or (kind == h5t.STRING and not stored.is_variable_str()):
        if opened.get_space().get_simple_extent_type() == h5py.h5s.NULL:
            return None
        value = np.empty(opened.shape, opened.dtype)
        opened.read(value)
        return str(value.dtype), value.shape, value.tobytes()
    if kind == h5t.STRING:
        value = item.attrs[opened.name]
        return ("text", (), value) if isinstance(value, str) else None
    return None


def decoded_attribute(stored: tuple) -> Any:
    """An attribute's value as the parser gives it; None if that is not plain here."""
    kind, shape, data = stored
    if kind == "text":
        return data
    value = np.frombuffer(data, np.dtype(kind)).reshape(shape)
    if value.dtype.kind == "S":
        return (value.item().decode("utf-8") or " ") if shape == () else None
    return value.reshape(-1)[0].item() if value.size == 1 else value.tolist()


def hash_of(dataset: h5py.Dataset) -> str:
    """A hash of the values of a dataset, as they are stored."""
    if dataset.dtype.hasobject:
        return hashlib.sha256(repr(dataset[...].tolist()).encode()).hexdigest()
    hashed = hashlib.sha256()
    for box in boxes(dataset.shape, box_shape(dataset.shape, dataset.dtype.itemsize, DIGESTED)):
        hashed.update(dataset[box].tobytes())
    return hashed.hexdigest()
