"""NetCDF3, and NetCDF4 and HDF5 with their groups: what the parsers make of them."""

from __future__ import annotations

from typing import Any

import h5py
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import HDFParser, NetCDF3Parser

from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.reader import kind_of
from vzarr.formats.open import child_groups
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import followed
from vzarr.upstream.virtualizarr import group_of


def list_groups(content: Content) -> list[str]:
    if detect_format(content) == "netcdf3":
        return [""]
    groups = ["", *child_groups(content)]
    if bare := _only_attributes(content, groups):
        note = f"left out: attributes of groups without variables: {', '.join(bare)}"
        content.cache.setdefault("notes", []).append(note)
    return groups


def _only_attributes(content: Content, groups: list[str]) -> list[str]:
    """Groups that hold attributes, but no dataset of their own."""
    bare: list[str] = []

    def note(name: str, item: object) -> None:
        if isinstance(item, h5py.Group) and len(item.attrs) and name not in groups:
            bare.append(name)

    with h5py.File(content.open(), "r") as file:
        file.visititems(note)
    return sorted(bare)


def manifest_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    if detect_format(content) == "netcdf3":
        return group_of(NetCDF3Parser(skip_variables=drop)(url=url, registry=registry))
    return hdf5_group(url, registry, content, group, drop)


def hdf5_group(
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: list[str]
) -> ManifestGroup:
    """One group, without those below it: the parser cannot leave out variables of theirs."""
    with h5py.File(content.open(), "r") as file:
        room = file[group or "/"]
        names = followed(room, group, content)
        below = [name for name in names if kind_of(room, name) in (h5py.Group, None)]

    def reader(store: Any, path: str) -> Any:
        return content.open()  # h5py takes a path, too

    parser = HDFParser(group=group or None, drop_variables=[*drop, *below], reader_factory=reader)
    return group_of(parser(url=url, registry=registry))
