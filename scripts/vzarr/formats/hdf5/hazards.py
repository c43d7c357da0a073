"""What HDF5 can hold that references cannot describe, or that readers show otherwise."""

from __future__ import annotations

from typing import Any

import h5py
import xarray as xr

from vzarr.errors import InputError
from vzarr.formats.hdf5 import reader
from vzarr.formats.reasons import (
    COMPACT,
    EXTERNAL_LINK,
    EXTERNAL_STORAGE,
    REPEATED_FILTER,
    SKIPPED_FILTER,
    TEXT,
    TOO_LONG,
    VIRTUAL_DATASET,
    Code,
    Reason,
)
from vzarr.limits import check_number
from vzarr.sources.content import Content
from vzarr.sources.elsewhere import followed


def hdf5_is_tree(content: Content) -> bool:
    """Whether each group of an HDF5 file has one path.

    Raises
    ------
    InputError
        If groups lie deeper within each other than is allowed.
    """
    return content.once(_is_tree)


def _is_tree(content: Content) -> bool:
    with h5py.File(content.open(), "r") as file:
        is_tree, depth = reader.walk_groups(file)
    check_number(content.url, "depth", depth, "groups within each other:")
    return is_tree


def hdf5_check(content: Content, group: str, name: str) -> None:
    """Refuse a dataset that HDF5 would unpack to more than it declares.

    Raises
    ------
    InputError
        With what is wrong with it.
    """
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        stored = next((key for key in (reader.HIDDEN + name, name) if key in h5group), None)
        if stored and reader.kind_of(h5group, stored) is h5py.Dataset:
            reader.check_contents(h5group[stored], content.url)


def hdf5_hazards(content: Content, group: str = "") -> dict[str, Reason]:
    """Variables of one group whose bytes references cannot describe, each with its reason.

    VirtualiZarr 2.8 reads these as fill values or garbage, without an error.

    Raises
    ------
    InputError
        For chunks that are longer in the file than in memory: nothing can read them.
    """
    hazards: dict[str, Reason] = {}
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        for name in followed(h5group, group, content):
            kind = reader.kind_of(h5group, name)
            if kind is not h5py.Dataset:
                continue
            reason = _hazard_of(h5group[name])
            if reason is not None and reason.code is Code.TOO_LONG:
                raise InputError(f"{content.url}: {group}/{name}: {reason}; fetch the file again.")
            if isinstance(h5group.get(name, getlink=True), h5py.ExternalLink):
                reason = EXTERNAL_LINK
            if reason is not None:
                hazards[name] = reason
    return hazards


def _hazard_of(dataset: h5py.Dataset) -> Reason | None:
    if foreign := reader.foreign(dataset):
        return Reason(Code.FOREIGN_TYPE, foreign)
    # Of text, too: the parser would read it.
    return hdf5_hazard(dataset) or (TEXT if reader.is_text(dataset) else None)


def hdf5_placeholders(content: Content, native: xr.Dataset, group: str = "") -> list[str]:
    """Datasets of one group that are no variables, such as dimensions without coordinates.

    VirtualiZarr 2.8 returns some of them as variables of zeros.
    """
    with h5py.File(content.open(), "r") as file:
        h5group = file[group or "/"]
        names = followed(h5group, group, content)
        datasets = [name for name in names if reader.kind_of(h5group, name) is h5py.Dataset]
        datasets += [name for name in h5group if name not in names]
    return [name for name in datasets if name not in native.variables]


def hdf5_hazard(dataset: h5py.Dataset) -> Reason | None:
    """Why references cannot describe a dataset's bytes, if they cannot."""
    if dataset.shape is None or dataset.size == 0:
        return None
    plan = dataset.id.get_create_plist()
    layout = plan.get_layout()
    if layout == h5py.h5d.COMPACT:
        return COMPACT
    if layout == h5py.h5d.VIRTUAL:
        return VIRTUAL_DATASET
    if layout == h5py.h5d.CONTIGUOUS and plan.get_external_count():
        return EXTERNAL_STORAGE
    codes = [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]
    if len(set(codes)) < len(codes):
        return REPEATED_FILTER
    if layout == h5py.h5d.CHUNKED and codes:
        masks: list[int] = []
        sizes: list[int] = [0]

        def note(chunk: Any) -> None:
            masks.append(chunk.filter_mask)
            sizes[0] = max(sizes[0], chunk.size)

        dataset.id.chunk_iter(note)
        if any(masks):
            return SKIPPED_FILTER
        if sizes[0] > reader.longest_chunk(dataset):
            return TOO_LONG
    return None
