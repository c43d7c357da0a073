"""Decoders of numcodecs that stop where a chunk unpacks to more than ``vzarr.limits`` allow.

A megabyte that was deflated may unpack to a gigabyte, whatever the array says of its chunks. Zarr
reads through these decoders, so what is read through references is bounded; a chunk that is read by
another library is read through its reference first, or checked here. For every release of numcodecs
(checked with 0.17), whose codecs and their ``decode`` are public.

Remove when: numcodecs or zarr can be told how much a chunk may unpack to. No issue was found; look
for "decompression bomb" or "maximum decoded size" at
https://github.com/zarr-developers/numcodecs/issues and zarr-python.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numcodecs
from numcodecs.compat import ensure_bytes, ndarray_copy

from vzarr.limits import limit

INFLATED = 1032
"""Bytes of which deflate makes one, at best."""


PART = 16 * 1024**2
"""Bytes that are unpacked at a time."""


ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class TooLong(ValueError):
    """A chunk that unpacks to more than is allowed."""


def bound_decoders() -> None:
    """Let numcodecs unpack no more than ``--limit chunk`` allows."""
    if hasattr(numcodecs.Zlib.decode, "unbounded"):
        return
    _replace(numcodecs.Zlib, _stopping(lambda codec: zlib.decompressobj()), INFLATED)
    _replace(numcodecs.GZip, _decode_gzip, INFLATED)
    _replace(numcodecs.BZ2, _stopping(lambda codec: bz2.BZ2Decompressor()))
    _replace(
        numcodecs.LZMA,
        _stopping(lambda codec: lzma.LZMADecompressor(codec.format, filters=codec.filters)),
    )
    # These say before how many bytes they unpack to, and make room for all of them.
    for kind, declared in (
        (numcodecs.Blosc, _blosc_length),
        (numcodecs.LZ4, _lz4_length),
        (numcodecs.Zstd, _zstd_length),
    ):
        _replace(kind, _asking(kind.decode, declared))


def _replace(kind: Any, bounded: Callable[..., Any], most: int | None = None) -> None:
    """``most``: bytes of which this compressor makes one at best; few need not be watched."""
    unbounded = kind.decode

    def decode(codec: Any, buf: Any, out: Any = None) -> Any:
        data = ensure_bytes(buf)
        if most is not None and len(data) * most <= limit("chunk"):
            return unbounded(codec, data, out)
        return bounded(codec, data, out)

    vars(decode)["unbounded"] = unbounded
    kind.decode = decode


def check_deflated(data: bytes, length: int) -> None:
    """Whether a zlib stream gives ``length`` bytes and no more.

    Raises
    ------
    TooLong
        If it gives more.
    """
    if len(data) * INFLATED <= limit("chunk"):
        return
    unpacked = zlib.decompressobj()
    while len(data) and length >= 0:
        length -= len(unpacked.decompress(data, 1024**2))
        data = unpacked.unconsumed_tail
    if length < 0:
        raise TooLong("a chunk unpacks to more bytes than it declares")


def _stopping(make: Callable[[Any], Any]) -> Callable[..., Any]:
    """In parts, so that what is too long is never put together."""

    def decode(codec: Any, data: bytes, out: Any) -> Any:
        unpacked = make(codec)
        parts, length = [], 0
        while not unpacked.eof:
            parts.append(unpacked.decompress(data, PART))
            length += len(parts[-1])
            _check(length, parts)
            data = getattr(unpacked, "unconsumed_tail", b"")  # others keep it themselves
            if not parts[-1] and not unpacked.eof:
                raise ValueError("the compressed chunk ends too early")
        return ndarray_copy(_joined(parts), out)

    return decode


def _decode_gzip(codec: Any, data: bytes, out: Any) -> Any:
    parts, length = [], 0
    with gzip.GzipFile(fileobj=io.BytesIO(data), mode="rb") as file:
        while part := file.read(PART):
            parts.append(part)
            length += len(part)
            _check(length, parts)
    return ndarray_copy(_joined(parts), out)


def _joined(parts: list[bytes]) -> bytes:
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _asking(decode: Callable[..., Any], declared: Callable[[bytes], int]) -> Callable[..., Any]:
    def checked(codec: Any, data: bytes, out: Any) -> Any:
        _check(declared(data[:18]))
        return decode(codec, data, out)

    return checked


def _check(length: int, parts: list[bytes] | None = None) -> None:
    if length > limit("chunk"):
        if parts:
            parts.clear()  # the error keeps what it was raised among
        raise TooLong(
            f"a chunk unpacks to {length:,} bytes or more, {limit('chunk'):,} are allowed (--limit "
            "chunk=BYTES allows more)"
        )


def _blosc_length(head: bytes) -> int:
    return struct.unpack_from("<I", head, 4)[0] if len(head) >= 8 else 0


def _lz4_length(head: bytes) -> int:
    return struct.unpack_from("<I", head)[0] if len(head) >= 4 else 0


def _zstd_length(head: bytes) -> int:
    """The content size in a frame's header (RFC 8878, 3.1.1.1); 0 where it is not given."""
    if len(head) < 5 or not head.startswith(ZSTD_MAGIC):
        return 0
    flags = head[4]
    single, size = flags >> 5 & 1, (0, 2, 4, 8)[flags >> 6] or (flags >> 5 & 1)
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    field = head[at : at + size]
    return int.from_bytes(field, "little") + 256 * (size == 2) if len(field) == size else 0
