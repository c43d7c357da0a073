"""Codecs by what they decode: a level of compression, say, changes nothing for a reader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from virtualizarr.manifests import ManifestArray

from vzarr.combine.mixed_array import TrimmedArray

ENCODING_ONLY = {
    "blosc": None,
    "bz2": {"level"},
    "gzip": {"level"},
    "lz4": {"acceleration"},
    "zlib": {"level"},
    "zstd": {"level", "checksum"},
}
"""What a codec needs to encode and not to decode; None: nothing of it, for the stream tells all."""


def decoding(metadata: Any) -> tuple[tuple[str, str], ...]:
    """The codecs of an array, each by its name and by what it needs to decode."""
    is_one_byte = metadata.data_type.to_native_dtype().itemsize == 1
    return tuple(_one(codec.to_dict(), is_one_byte) for codec in metadata.codecs)


def _one(codec: Mapping[str, Any], is_one_byte: bool) -> tuple[str, str]:
    name = str(codec["name"]).removeprefix("numcodecs.")
    needed = dict(codec.get("configuration") or {})
    needed.pop("id", None)
    if name == "bytes" and is_one_byte:
        return name, ""  # one byte has no order
    if name in ENCODING_ONLY:
        left_out = ENCODING_ONLY[name]
        needed = {} if left_out is None else {k: needed[k] for k in needed if k not in left_out}
    return name, repr(sorted(needed.items()))


def with_codecs_of(array: ManifestArray, first: ManifestArray) -> ManifestArray:
    """An array with the codecs of another one, where these decode the same."""
    mine, theirs = array.metadata, first.metadata
    if mine.codecs == theirs.codecs or mine.data_type != theirs.data_type:
        return array
    if decoding(mine) != decoding(theirs):
        return array
    if isinstance(array, TrimmedArray):
        return TrimmedArray(with_codecs_of(array.source, first), array.axis, array.skipped)
    return ManifestArray(replace(mine, codecs=theirs.codecs), array.manifest)
