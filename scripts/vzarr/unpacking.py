"""Decoders of numcodecs that stop where a chunk unpacks to more than ``vzarr.limits`` allow.

A megabyte that was deflated may unpack to a gigabyte, whatever the array says of its chunks. Zarr
reads through these decoders, so what is read through references is bounded; a chunk that is read by
another library is read through its reference first, or checked here.
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
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class TooLong(ValueError):
    """A chunk that unpacks to more than is allowed."""


def patch_decoders() -> None:
    """Let numcodecs unpack no more than ``--limit chunk`` allows."""
    numcodecs.Zlib.decode = _stopping(lambda codec: zlib.decompressobj())
    numcodecs.BZ2.decode = _stopping(lambda codec: bz2.BZ2Decompressor())
    numcodecs.LZMA.decode = _stopping(
        lambda codec: lzma.LZMADecompressor(format=codec.format, filters=codec.filters)
    )
    numcodecs.GZip.decode = _decode_gzip
    for kind, declared in (
        (numcodecs.Blosc, _blosc_length),
        (numcodecs.LZ4, _lz4_length),
        (numcodecs.Zstd, _zstd_length),
    ):
        if not hasattr(kind.decode, "unchecked"):
            kind.decode = _asking(kind.decode, declared)


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
    def decode(codec: Any, buf: Any, out: Any = None) -> Any:
        unpacked = make(codec)
        most = limit("chunk")
        data = unpacked.decompress(ensure_bytes(buf), most + 1)
        _check(len(data))
        if not unpacked.eof:
            raise ValueError("the compressed chunk ends too early")
        return ndarray_copy(data, out)

    return decode


def _decode_gzip(codec: Any, buf: Any, out: Any = None) -> Any:
    with gzip.GzipFile(fileobj=io.BytesIO(ensure_bytes(buf)), mode="rb") as file:
        data = file.read(limit("chunk") + 1)
    _check(len(data))
    return ndarray_copy(data, out)


def _asking(decode: Callable[..., Any], declared: Callable[[bytes], int]) -> Callable[..., Any]:
    """Compressors that say before how many bytes they unpack to, and make room for all of them."""

    def checked(codec: Any, buf: Any, out: Any = None) -> Any:
        data = ensure_bytes(buf)
        _check(declared(data[:18]))
        return decode(codec, data, out)

    checked.unchecked = decode
    return checked


def _check(length: int) -> None:
    if length > limit("chunk"):
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
