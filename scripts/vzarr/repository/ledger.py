"""A repository's sources, listed in the store itself: what is in, and what took its place.

It lies in a group beside the data, so that a commit holds both or neither, a rollback takes both
back, and neither expiry nor a rewritten history takes it away. Attributes of the group say what the
store is; an array of JSON has one text for each source. 100,000 sources take 2.6 MB and 0.1 s to
write; as metadata of a commit they took 2.7 s.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import icechunk
import msgspec
import numpy as np
import zarr

from vzarr.combine.kinds import whole_of
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, first_line
from vzarr.formats.reasons import BY_DROP
from vzarr.upstream.zarr import array_at

GROUP = "_virtual_zarr"


SCHEMA = 1


CHUNK = 1000
"""Texts in a chunk: what an append writes anew."""


DAMAGED = (
    "The list of sources that lies in the store (the group _virtual_zarr) is damaged: {error}. "
    "virtual_zarr.py log shows the commits, rollback shows the one before again."
)


LISTS = ("sources", "replaced", "removed")
"""Keys of the metadata that are kept in arrays."""


def read_ledger(store: icechunk.IcechunkStore) -> StoreMetadata | None:
    """What a store's ledger says; None where it has none.

    ``sources``: a record for each file, in the order of the store; ``replaced``: those that others
    took the place of, and ``by`` which; ``removed``: those that were taken out; ``groups`` by
    path, the root under an empty string: what became of each variable, the dimension along which
    the group grows, and the ``lengths`` of the sources in it.

    Raises
    ------
    InputError
        If a newer release of this tool wrote it, or it is not what any release writes.
    """
    try:
        ledger = zarr.open_group(store, path=GROUP, mode="r")
    except FileNotFoundError:
        return None
    try:
        metadata = json.loads(str(ledger.attrs["metadata"]))
        schema = int(metadata["schema"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(DAMAGED.format(error=first_line(error))) from error
    if schema > SCHEMA:
        raise InputError(
            f"The list of sources has the form {schema}, this tool knows up to "
            f"{SCHEMA}: use a newer release of it."
        )
    try:
        _complete(metadata, ledger)
        msgspec.convert(metadata, type=StoreMetadata)  # 0.1 s for 100,000 sources
    except (AttributeError, KeyError, TypeError, ValueError, msgspec.ValidationError) as error:
        raise InputError(DAMAGED.format(error=first_line(error))) from error
    return metadata


def _complete(metadata: dict[str, Any], ledger: zarr.Group) -> None:
    """Put in what lies in arrays beside the text, and what older releases did not write."""
    for name in LISTS:
        metadata[name] = [json.loads(text) for text in _texts(ledger, name)]
    lengths = [record.pop("lengths") for record in metadata["sources"]]
    for path, stored_group in metadata["groups"].items():
        stored_group["lengths"] = [each[path] for each in lengths]
        stored_group.setdefault("by_option", told_by_option(stored_group["dropped"]))


def told_by_option(dropped: dict[str, str]) -> list[str]:
    """What ``--drop`` named, where a repository does not list it: by the words that it keeps."""
    return sorted(name for name, why in dropped.items() if why == str(BY_DROP))


def write_ledger(store: icechunk.IcechunkStore, metadata: StoreMetadata) -> None:
    """Write what ``read_ledger`` returns; of the lists only the chunks that changed."""
    metadata = whole_of(metadata)
    groups = metadata["groups"]
    lengths = zip(*(stored_group["lengths"] for stored_group in groups.values()), strict=True)
    sources = [
        {**record, "lengths": dict(zip(groups, each, strict=True))}
        for record, each in zip(metadata["sources"], lengths, strict=True)
    ]
    rest = {key: value for key, value in metadata.items() if key not in LISTS}
    rest["groups"] = {
        path: {key: value for key, value in stored_group.items() if key != "lengths"}
        for path, stored_group in groups.items()
    }
    ledger = zarr.open_group(store, mode="a").require_group(GROUP)
    # As one text: attributes of Zarr are shown to people, and this is long.
    ledger.attrs.put({"metadata": json.dumps({**rest, "schema": SCHEMA})})
    _write_texts(ledger, "sources", sources)
    _write_texts(ledger, "replaced", metadata.get("replaced", []))
    urls = {record["url"] for record in metadata["sources"]}
    removed = [record for record in metadata.get("removed", []) if record["url"] not in urls]
    if removed or "removed" in ledger:
        _write_texts(ledger, "removed", removed)


def _texts(ledger: zarr.Group, name: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: the type of texts may change
        return np.asarray(array_at(ledger, name)[:]).tolist() if name in ledger else []


def _write_texts(ledger: zarr.Group, name: str, records: Sequence[Mapping[str, Any]]) -> None:
    texts = [json.dumps(record) for record in records]
    stored_texts = _texts(ledger, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name not in ledger:
            ledger.create_array(
                name, shape=(0,), chunks=(CHUNK,), dtype=str, dimension_names=(f"_{name}",)
            )
        array = array_at(ledger, name)
        array.resize((len(texts),))
        for start in range(0, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            if part != stored_texts[start : start + CHUNK]:
                array[start : start + len(part)] = np.array(part, np.dtypes.StringDType())
