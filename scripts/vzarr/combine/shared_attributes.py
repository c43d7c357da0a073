"""Attributes of a store: those that its files share, whatever is written into it.

Those that decide how numbers are decoded are not touched: all files of an array must agree in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import icechunk
import xarray as xr
import zarr

from vzarr.combine.description import OWNER, READERS_OWN, describe_dataset
from vzarr.errors import is_failure, raise_fault
from vzarr.formats.detect import detect_format
from vzarr.formats.open import open_native
from vzarr.sources.content import fetch
from vzarr.sources.schemes import Access
from vzarr.virtualize.equality import same

Attributes = dict[str, dict[str, Any]]
"""By variable, those of the group under ``OWNER``."""


def said_by(dataset: xr.Dataset) -> Attributes:
    """What a parsed file, or several combined, say of a group and its variables."""
    variables = {str(name): dict(v.attrs) for name, v in dataset.variables.items()}
    return {**variables, OWNER: dict(dataset.attrs)}


def share_attributes(dataset: xr.Dataset, others: Iterable[xr.Dataset]) -> xr.Dataset:
    """A dataset that stands for several, with those attributes only that all of these have."""
    said = [said_by(each) for each in (dataset, *others)]
    dataset = dataset.copy(deep=False)
    dataset.attrs = common([each[OWNER] for each in said])
    for name, variable in dataset.variables.items():
        variable.attrs = common([each[str(name)] for each in said if str(name) in each])
    return dataset


def common(attributes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Those that all have, and readers' own of the first."""
    first, *others = attributes
    return {
        key: value
        for key, value in first.items()
        if key in READERS_OWN or all(key in other and same(value, other[key]) for other in others)
    }


def drop_contradicted(
    store: icechunk.IcechunkStore, group: str, parts: Iterable[xr.Dataset]
) -> None:
    """Take out of a stored group what one of several files says otherwise."""
    said = [attributes for attributes in map(said_by, parts) if any(attributes.values())]
    if not said:
        return  # the root of files of which it was not asked for
    for name, item in _owners(store, group, said[0]).items():
        agreed = {
            key: value
            for key, value in item.attrs.items()
            if key in READERS_OWN
            or all(key not in each.get(name, {}) or same(value, each[name][key]) for each in said)
        }
        if len(agreed) < len(item.attrs):
            item.attrs.put(agreed)


def shared_with(item: zarr.Group | zarr.Array, attributes: Mapping[Any, Any]) -> dict[Any, Any]:
    """Without what a stored group or array does not say, and readers do not take for themselves."""
    return {key: v for key, v in attributes.items() if key in READERS_OWN or key in item.attrs}


def follow_attributes(
    store: icechunk.IcechunkStore,
    group: str,
    parts: list[xr.Dataset],
    others: Iterable[Mapping[str, Any]],
    access: Access,
) -> None:
    """Let a stored group say what all files share, after ``parts`` were written over old ones.

    What the parts share and the store lacks comes back if all ``others``, the records of the other
    files, have it too, as far as they have its variable: those of another product have not. They
    are read, the last first, until one has it not.
    """
    drop_contradicted(store, group, parts)
    said = said_by(share_attributes(parts[0], parts[1:]))
    if not any(said.values()):
        return
    owners = _owners(store, group, said)
    missing = {
        name: {
            key: value
            for key, value in said[name].items()
            if key not in item.attrs and key not in READERS_OWN
        }
        for name, item in owners.items()
    }
    for record in reversed(list(others)):
        if not any(missing.values()):
            return
        theirs = _read(record, group, access)
        if theirs is None:
            return
        missing = {
            name: {
                key: value
                for key, value in attributes.items()
                if _lacks(record, group, name, theirs)
                or (key in theirs.get(name, {}) and same(value, theirs[name][key]))
            }
            for name, attributes in missing.items()
        }
    for name, attributes in missing.items():
        if attributes:
            owners[name].attrs.put({**owners[name].attrs, **attributes})


def _owners(
    store: icechunk.IcechunkStore, group: str, said: Attributes
) -> dict[str, zarr.Group | zarr.Array]:
    """The stored group and those of its arrays of which something is said."""
    root = zarr.open_group(store, path=group, mode="r+")
    arrays = {name: array for name, array in root.arrays() if name in said}
    return {OWNER: root, **dict(sorted(arrays.items()))}


def _lacks(record: Mapping[str, Any], group: str, name: str, theirs: Attributes) -> bool:
    """Whether a file has no such variable, by its record too: readers may name one otherwise."""
    path = f"{group}/{name}".lstrip("/")
    is_of_another = "variables" in record and path not in record["variables"]
    return name not in theirs and (is_of_another or path in record.get("lacks", ()))


def _read(record: Mapping[str, Any], group: str, access: Access) -> Attributes | None:
    """What a file says; None where it cannot be read."""
    try:
        content = fetch(record["url"], access, record["size"])
        group = "" if record.get("kind") == group else group
        with open_native(content, detect_format(content), group, quick=True) as native:
            return describe_dataset(native).attributes
    except BaseException as error:
        if not is_failure(error):
            raise
        raise_fault(record["url"], error)
        return None
