"""What VirtualiZarr 2.8 has no public name for: the arrays of a manifest, the group of a store.

Remove when: ``ChunkManifest`` shows its arrays, whose form is open still
(https://github.com/zarr-developers/VirtualiZarr/issues/851, also 246); parsers return the group
itself (https://github.com/zarr-developers/VirtualiZarr/issues/888).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from virtualizarr.manifests import ChunkManifest, ManifestArray, ManifestGroup, ManifestStore
from virtualizarr.manifests.manifest import INLINED_CHUNK_PATH
from virtualizarr.manifests.utils import (
    copy_and_replace_metadata,
    create_v3_array_metadata,
    manifest_chunk_shape,
)
from virtualizarr.parsers.hdf.filters import codecs_from_dataset
from virtualizarr.parsers.kerchunk.translator import manifestgroup_from_kerchunk_refs
from virtualizarr.parsers.utils import encode_cf_fill_value
from virtualizarr.types.kerchunk import KerchunkStoreRefs
from zarr.core.metadata import ArrayV3Metadata

__all__ = [
    "KerchunkStoreRefs",
    "NamedStore",
    "chunk_ends",
    "chunk_lengths",
    "chunk_offsets",
    "chunk_urls",
    "codecs_from_dataset",
    "copy_and_replace_metadata",
    "count_references",
    "create_v3_array_metadata",
    "encode_cf_fill_value",
    "group_of",
    "holds_inlined",
    "make_manifest",
    "manifest_chunk_shape",
    "manifestgroup_from_kerchunk_refs",
    "referred_urls",
    "with_fill_value",
]


def group_of(store: ManifestStore) -> ManifestGroup:
    """The group of manifests that a parser has made."""
    return store._group


def with_fill_value(array: ManifestArray, value: np.generic) -> ManifestArray:
    """An array with the same chunks, which reads as ``value`` where it has none."""
    told = {**array.metadata.to_dict(), "fill_value": value.item()}
    metadata = ArrayV3Metadata.from_dict(told)
    return ManifestArray(metadata=metadata, chunkmanifest=array.manifest)


def make_manifest(urls: Any, offsets: Any, lengths: Any) -> ChunkManifest:
    """A manifest of three arrays of one shape, as of ``chunk_urls`` and its like; not checked."""
    return ChunkManifest.from_arrays(
        paths=urls, offsets=offsets, lengths=lengths, validate_paths=False
    )


def chunk_urls(manifest: ChunkManifest) -> np.ndarray:
    """Where each chunk lies, in the shape of the grid; an empty text where there is none."""
    return manifest._paths


def chunk_offsets(manifest: ChunkManifest) -> np.ndarray:
    """The first byte of each chunk, in the shape of the grid."""
    return manifest._offsets


def chunk_lengths(manifest: ChunkManifest) -> np.ndarray:
    """The bytes of each chunk, in the shape of the grid."""
    return manifest._lengths


def chunk_ends(manifest: ChunkManifest, url: str) -> np.ndarray:
    """The byte behind each chunk that lies at ``url``."""
    last_bytes = manifest._offsets + manifest._lengths
    return last_bytes[manifest._paths == url]


def count_references(manifest: ChunkManifest) -> int:
    """The number of chunks that exist."""
    return int((manifest._paths != "").sum())


def holds_inlined(manifest: ChunkManifest) -> bool:
    """Whether a chunk's values are kept beside the references."""
    return bool((manifest._paths == INLINED_CHUNK_PATH).any())


def referred_urls(manifest: ChunkManifest) -> set[str]:
    """The files that a manifest leads to."""
    return {str(url) for url in manifest._paths.flat if url} - {INLINED_CHUNK_PATH}


class NamedStore(ManifestStore):
    """Zarr asks for the name of its store at every variable; the parent's lists all variables."""

    def __str__(self) -> str:
        return "references"
