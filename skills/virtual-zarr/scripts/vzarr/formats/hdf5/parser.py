"""NetCDF4 and HDF5 with their groups: what VirtualiZarr's parser makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
from obspec_utils.registry import ObjectStoreRegistry
from virtualizarr.manifests import ManifestGroup
from virtualizarr.parsers import HDFParser

from vzarr.formats.hdf5.open import child_groups, open_group
from vzarr.formats.hdf5.reader import kind_of
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import followed
from vzarr.upstream.virtualizarr import group_of

__all__ = ["list_groups", "manifest_group", "open_group"]


def list_groups(content: Content) -> list[str]:
    """The root, and the groups that hold datasets."""
    groups = ["", *child_groups(content)]
    if bare := _only_attributes(content, groups):
        content.findings.notes.append(
            f"left out: attributes of groups without variables: {', '.join(bare)}"
        )
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
    url: str, registry: ObjectStoreRegistry, content: Content, group: str, drop: Sequence[str]
) -> ManifestGroup:
    """One group, without those below it: the parser cannot leave out variables of theirs."""
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        names = followed(h5group, group, content)
        below = [name for name in names if kind_of(h5group, name) in (h5py.Group, None)]

    def reader(store: Any, path: str) -> Any:
        return content.open()  # h5py takes a path, too

    parser = HDFParser(group=group or None, drop_variables=[*drop, *below], reader_factory=reader)
    return group_of(parser(url=url, registry=registry))
