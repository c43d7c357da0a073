"""Groups of a store in the form of parsed files, and new files in the form of the store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from virtualizarr.manifests import ChunkManifest, ManifestArray

from vzarr.combine.combine import with_record_dimension
from vzarr.combine.compatibility import Difference
from vzarr.combine.groups import stored_groups
from vzarr.combine.store_metadata import GroupInStore, StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress
from vzarr.repository.layouts import layout_of
from vzarr.sources.discover import Source, SourceRecord
from vzarr.sources.schemes import Access
from vzarr.upstream.virtualizarr import copy_and_replace_metadata, manifest_chunk_shape
from vzarr.upstream.zarr import array_at
from vzarr.verification.open import open_store
from vzarr.virtualize.model import (
    MEANING,
    ParsedFile,
    Unreadable,
    cf_encoding,
    group_paths,
    part_of,
)
from vzarr.virtualize.pool import parse_files

NOTHING_DONE = "Nothing was committed"
ADVICE = f"{NOTHING_DONE}: put the old file back, or build a new repository"


def stored_file(
    store: icechunk.IcechunkStore, location: str, group: str, metadata: GroupInStore
) -> ParsedFile:
    """One group of the store in the form of a parsed file, to compare new files with."""
    decoded = open_store(store, group)
    arrays = zarr.open_group(store, path=group, mode="r")
    variables = {}
    decoded = decoded.drop_vars(metadata.get("foreign", ()), errors="ignore")
    for name, variable in decoded.variables.items():
        values: Any = np.broadcast_to(np.empty((), variable.dtype), variable.shape)
        if name in metadata["virtual"]:
            dimension = metadata["concat_dim"]
            if dimension in variable.dims:
                layout = layout_of(array_at(arrays, str(name)), str(dimension))
                variables[str(name)] = xr.Variable(variable.dims, layout.as_array())
                continue
            array: Any = arrays[str(name)].metadata
            array = copy_and_replace_metadata(array, new_dimension_names=None, new_attributes={})
            chunks = zip(array.shape, manifest_chunk_shape(array), strict=True)
            grid = tuple(-(-size // chunk) for size, chunk in chunks)
            values = ManifestArray(array, ChunkManifest({}, shape=grid))
        variables[str(name)] = xr.Variable(variable.dims, values)
    return ParsedFile(
        Source(location, 0, datetime.now(UTC)),
        "",
        xr.Dataset(coords=xr.Coordinates({}, indexes={})).assign(variables),
        packing={str(name): cf_encoding(v) for name, v in decoded.variables.items()},
        group=group,
    )


def parsing_options(metadata: StoreMetadata) -> dict[str, Any]:
    """How ``parse_files`` has to look at a file so that it fits into the store."""
    groups = stored_groups(metadata)
    drop = {
        f"{group}/{name}".lstrip("/")
        for group, stored_group in groups.items()
        for name in stored_group["by_option"]
    }
    chosen = () if "" in groups else tuple(groups)
    if holds_all(metadata):
        drop |= {*metadata["plan"]["drop"]}
        chosen = tuple(metadata["plan"]["groups"])
    return {
        "drop": tuple(sorted(drop)),
        "record_dimension": metadata["concat_dim"],
        "groups": chosen,
    }


def holds_all(metadata: StoreMetadata) -> bool:
    """Whether the store holds whatever its files hold, but for what ``build`` was told."""
    groups = metadata["groups"].values()
    return "plan" in metadata and not any(
        "without_source" in stored_group for stored_group in groups
    )


def other_groups(file: ParsedFile, location: str, metadata: StoreMetadata) -> list[Difference]:
    """Groups of a file that the store does not have: nothing would be said of their data."""
    more = sorted({*group_paths(file)} - {*metadata["groups"]}) if holds_all(metadata) else []
    url = file.source.url
    return [
        Difference(url, f"/{group}", "the group", "present", "absent", location, ADVICE)
        for group in more
    ]


def parse_replacements(
    sources: list[Source], metadata: StoreMetadata, access: Access, progress: Progress
) -> list[ParsedFile]:
    """Parse files that are to take old ones' places.

    Raises
    ------
    InputError
        For a file that cannot be parsed.
    """
    parsed = parse_files(sources, access, progress=progress("parsed"), **parsing_options(metadata))
    files: list[ParsedFile] = []
    for result in parsed:
        if isinstance(result, Unreadable):
            raise InputError(f"{result.reason} {NOTHING_DONE}.")
        files.append(result)
    return files


def stored_part(file: ParsedFile, group: str, metadata: GroupInStore) -> ParsedFile:
    """One group of a file, with the dimension that it has in the store.

    Raises
    ------
    Refused
        If the file has no such group.
    """
    if lacks_group(file, group):
        raise Refused(f"{file.source.url}: has no group {group} any more. {ADVICE}.")
    part = part_of(file, group)
    dimension = metadata["concat_dim"]
    return part if dimension is None else with_record_dimension(part, dimension)


def lacks_group(file: ParsedFile, group: str) -> bool:
    """Whether a file has no such group, so no records in it."""
    return bool(group) and group not in file.children


def expected_in_store(stored: ParsedFile, part: ParsedFile, metadata: GroupInStore) -> ParsedFile:
    """The stored group as ``compare_files`` wants it: what values decide is compared later."""
    numbers = {
        name: {key: value for key, value in packing.items() if key not in MEANING}
        | {key: value for key, value in stored_packing.items() if key in MEANING}
        for name, packing in part.packing.items()
        if name not in metadata["virtual"]
        and (stored_packing := stored.packing.get(name)) is not None
    }
    variables = {
        name: xr.Variable(variable.dims, np.broadcast_to(np.empty((), dtype), variable.shape))
        for name, variable in stored.dataset.variables.items()
        if name not in metadata["virtual"]
        and name in part.dataset.variables
        and (dtype := part.dataset[name].dtype)
    }
    return replace(
        stored,
        dataset=stored.dataset.assign(variables),
        packing={**stored.packing, **numbers},
        digests=part.digests,
    )


def with_own(stored: ParsedFile, record: SourceRecord) -> ParsedFile:
    """What is stored of a file beside others."""
    if "variables" not in record:
        return stored
    prefix = f"{stored.group}/" if stored.group else ""
    own = {*record["variables"]}
    others = [name for name in stored.dataset.variables if f"{prefix}{name}" not in own]
    return replace(stored, dataset=stored.dataset.drop_vars(others))
