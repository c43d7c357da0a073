"""Which Zarr 2 fill values of references stand for missing values."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import h5py
import numpy as np
import obstore
from zarr.abc.buffer import Buffer
from zarr.buffer import default_buffer_prototype

from vzarr.errors import InputError
from vzarr.formats.detect import detect_format
from vzarr.formats.kerchunk.load import as_text, divide_references, load_references
from vzarr.sources.content import Content, fetch
from vzarr.sources.discover import look_up
from vzarr.sources.schemes import object_store


class StoredValues(MutableMapping[str, Buffer]):
    """What the references lead to, fetched when it is asked for."""

    def __init__(self, content: Content) -> None:
        self._content, self._references = content, load_references(content)

    def __getitem__(self, key: str) -> Buffer:
        reference = self._references[key]
        if isinstance(reference, list):
            store, path = object_store(reference[0], self._content.access)
            if len(reference) == 1:
                data = bytes(obstore.get(store, path).bytes())
            else:
                start, length = reference[1:]
                data = bytes(obstore.get_range(store, path, start=start, length=length))
        else:
            data = as_text(reference)
        return default_buffer_prototype().buffer.from_bytes(data)

    def __iter__(self) -> Iterator[str]:
        return iter(self._references)

    def __len__(self) -> int:
        return len(self._references)

    def __setitem__(self, key: str, value: Buffer) -> None:
        raise TypeError("read only")

    def __delitem__(self, key: str) -> None:
        raise TypeError("read only")


def declares_fill(content: Content, group: str, name: str, fill: Any) -> bool:
    """Whether the source has a ``_FillValue``, where it is HDF5; else it is taken to have one.

    A variable whose values all lie in the references says no source: then the first source of
    others is asked. Without any, zero is taken for the value that HDF5 gives by itself.
    """
    path = f"{group}/{name}".lstrip("/")
    if _declares_in_attributes(content, path):
        return True
    own = divide_references(content).by_array.get(path, {}).values()
    targets = [reference[0] for reference in own if isinstance(reference, list)]
    for url in (targets or sorted(content.findings.referred))[:1]:
        declared = content.once(_declared, url)
        if declared is not None and path in declared:
            return declared[path]
        if targets:
            return True
    if np.any(np.asarray(fill) != 0):
        return True
    note = f"{path}: the references say that 0 is missing, which Kerchunk does always; it is kept"
    content.findings.notes.append(note)
    return False


def _declares_in_attributes(content: Content, path: str) -> bool:
    return b"_FillValue" in as_text(load_references(content).get(f"{path}/.zattrs", "{}"))


def _declared(content: Content, url: str) -> dict[str, bool] | None:
    """Which datasets of an HDF5 file declare ``_FillValue``; None for other formats."""
    try:
        source = fetch(url, content.access, look_up(url, content.access).size)
        if detect_format(source) != "hdf5":
            return None
    except InputError:
        return None
    names: dict[str, bool] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            names[name] = "_FillValue" in item.attrs

    with h5py.File(source.open(), "r") as file:
        file.visititems(note)
    return names
