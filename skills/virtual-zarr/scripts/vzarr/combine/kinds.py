"""Files of several kinds in one store: those of each kind share a group of their own.

All that a store does with files it does with those of one kind: ``view_of`` shows their group as
if there were no other one, and ``whole_of`` puts it back among these.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from vzarr.combine.codecs import decoding
from vzarr.combine.recode import packing_of
from vzarr.combine.store_metadata import GroupRecord, StoreMetadata
from vzarr.errors import Refused
from vzarr.upstream.virtualizarr import manifest_chunk_shape
from vzarr.virtualize.attributes import as_python
from vzarr.virtualize.model import MEANING, ParsedFile, is_virtual

VALUES = "values"
Traits = dict[tuple[str, str], str]
"""What is the same in files of a kind: by variable and by what it is."""


def traits_of(file: ParsedFile, dimension: str) -> Traits:
    """How a file stores its variables."""
    traits: Traits = {}
    for name, variable in sorted(file.dataset.variables.items(), key=lambda item: str(item[0])):
        name = str(name)
        sizes = zip(variable.dims, variable.shape, strict=True)
        traits[name, "dims"] = repr([(d, 0 if d == dimension else size) for d, size in sizes])
        encoding = file.packing.get(name, {})
        for key in ("calendar", *MEANING):
            if key in encoding and " since " not in str(encoding[key]):  # an epoch is no difference
                traits[name, key] = repr(as_python(encoding[key])).strip("'")
        if variable.ndim and name in file.digests:
            traits[name, VALUES] = file.digests[name]
        if not is_virtual(variable) or dimension not in variable.dims:
            continue
        metadata = variable.data.metadata
        traits[name, "dtype"] = str(variable.dtype)
        traits[name, "chunks"] = "x".join(map(str, manifest_chunk_shape(metadata)))
        traits[name, "codecs"] = repr(decoding(metadata))
        for key, value in sorted(packing_of(file.packing.get(name, {})).items()):
            traits[name, key] = repr(as_python(value))
    return traits


def key_of(traits: Traits) -> str:
    """What tells one kind from others, as a store keeps it."""
    return hashlib.sha256(repr(sorted(traits.items())).encode()).hexdigest()[:16]


def split_kinds(files: Sequence[ParsedFile], dimension: str) -> dict[str, list[ParsedFile]]:
    """Files by their kind, under the name of its group; each as if it had only that group.

    Raises
    ------
    Refused
        For files with groups of their own.
    """
    kinds: dict[str, list[ParsedFile]] = {}
    traits: dict[str, Traits] = {}
    for file in files:
        if file.children:
            raise Refused(
                f"{file.source.url}: has groups of its own, so --irregular groups has no place for "
                "it: build the files of each kind into a store of their own."
            )
        own = traits_of(file, dimension)
        traits.setdefault(key_of(own), own)
        kinds.setdefault(key_of(own), []).append(file)
    if len(kinds) < 2:
        return {}
    names = _names(traits)
    return {names[key]: [as_kind(file, names[key]) for file in kinds[key]] for key in kinds}


def _names(traits: dict[str, Traits]) -> dict[str, str]:
    """The name of each kind's group: what it is in that they all differ, else a number."""
    every = list(traits.values())
    for variable, what in every[0]:
        values = [own.get((variable, what)) for own in every]
        if what in (VALUES, "dims") or None in values or len({*values}) < len(values):
            continue
        names = [_word(f"{variable}_{what}_{value}") for value in values]
        if len({*names}) == len(names) and max(map(len, names)) <= 60:
            return dict(zip(traits, names, strict=True))
    return {key: f"kind_{number}" for number, key in enumerate(traits, 1)}


def _word(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+-]+", "_", text).strip("_")


def as_kind(file: ParsedFile, name: str) -> ParsedFile:
    """A file as if all that it holds lay in a group of this name."""
    part = replace(file, group=name, read_from="", children={}, kind=name)
    root = ParsedFile(file.source, file.file_format, xr.Dataset(attrs=file.dataset.attrs))
    return replace(
        root,
        children={name: part},
        data_url=file.data_url,
        fingerprint=file.fingerprint,
        steps=file.steps,
        given=file.given,
        kind=name,
    )


def is_in(file: ParsedFile, group: str) -> bool:
    """Whether a file has something in a group of the store; the root is everyone's."""
    return not group or file.kind in ("", group)


def kinds_of(metadata: StoreMetadata) -> list[str]:
    """The groups of a store that hold files of a kind each; none where a view shows one."""
    if "whole" in metadata:
        return []
    return [path for path, stored_group in metadata["groups"].items() if "kind" in stored_group]


def numbers_of(metadata: StoreMetadata, kind: str) -> list[int]:
    """The numbers of the sources of a kind."""
    return [n for n, record in enumerate(metadata["sources"]) if record.get("kind") == kind]


def view_of(metadata: StoreMetadata, kind: str) -> StoreMetadata:
    """A store as if it held the files of one kind only."""
    numbers = numbers_of(metadata, kind)
    stored_group = metadata["groups"][kind]
    lengths = [stored_group["lengths"][number] for number in numbers]
    sources = [metadata["sources"][number] for number in numbers]
    group: GroupRecord = {**stored_group, "lengths": lengths}
    return {**metadata, "sources": sources, "groups": {kind: group}, "whole": metadata}


def whole_of(metadata: StoreMetadata) -> StoreMetadata:
    """The store of which a view shows a part, with what the view says of that; else as it is."""
    if "whole" not in metadata:
        return metadata
    whole = metadata["whole"]
    (kind,) = metadata["groups"]
    others = [n for n, record in enumerate(whole["sources"]) if record.get("kind") != kind]
    own = metadata["groups"][kind]["lengths"]
    groups: dict[str, GroupRecord] = {}
    for path, stored_group in whole["groups"].items():
        lengths = [stored_group["lengths"][number] for number in others]
        if path == kind:
            groups[path] = {**metadata["groups"][kind], "lengths": [*lengths, *own]}
        else:
            groups[path] = {**stored_group, "lengths": [*lengths, *(0 for _ in own)]}
    sources = [*(whole["sources"][number] for number in others), *metadata["sources"]]
    merged: Any = {**metadata, "sources": sources, "groups": groups}
    merged.pop("whole")
    return merged
