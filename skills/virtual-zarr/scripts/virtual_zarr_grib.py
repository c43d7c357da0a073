"""Zarr codec that decodes a GRIB message with ecCodes: any field of it, or its latitudes.

Readers of a store that names ``virtual_zarr.grib`` need this file and ecCodes: install the folder
that it lies in (``uv pip install ./scripts``), or put the file on the path and import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import eccodes
import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer, NDBuffer
from zarr.core.common import JSON, parse_named_configuration
from zarr.registry import register_codec

NAME = "virtual_zarr.grib"
MISSING = 1e100
"""What stands for a missing value while ecCodes unpacks."""
NO_BITMAP, LAST_BITMAP = 255, 254
NO_DATA = {6: b"\x00\x00\x00\x06\x06\xff", 7: b"\x00\x00\x00\x05\x07"}
"""Sections of a bitmap and of data that are none."""
VALUES = ("data", "latitude", "longitude")


@dataclass(frozen=True)
class GribCodec(ArrayBytesCodec):
    """A chunk is a whole message.

    ``field`` counts the fields of a message of several; ``values`` is one of ``VALUES``.
    """

    field: int = 0
    values: str = "data"

    def __post_init__(self) -> None:
        if self.values not in VALUES:
            raise ValueError(f"{NAME}: values has to be one of {VALUES}, is {self.values!r}")

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        _, configuration = parse_named_configuration(data, NAME, require_configuration=False)
        return cls(**(configuration or {}))  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, JSON]:
        return {"name": NAME, "configuration": {"field": self.field, "values": self.values}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        raise NotImplementedError

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        message = chunk_data.to_bytes()
        decoded = decode(message, self.field, self.values)
        decoded = decoded.astype(chunk_spec.dtype.to_native_dtype(), copy=False)
        return chunk_spec.prototype.nd_buffer.from_ndarray_like(decoded.reshape(chunk_spec.shape))

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer | None:
        raise NotImplementedError("messages are only read")


def register() -> None:
    """Tell Zarr of the codec; importing this module does it once."""
    register_codec(NAME, GribCodec)


register()


def decode(message: bytes, field: int = 0, values: str = "data") -> np.ndarray:
    """Values in the order of the file, missing ones as NaN, without the grid's shape."""
    handle = eccodes.codes_new_from_message(one_field(message, field))
    try:
        if values != "data":
            return np.asarray(eccodes.codes_get_array(handle, f"{values}s"))
        eccodes.codes_set(handle, "missingValue", MISSING)
        found = np.asarray(eccodes.codes_get_values(handle))
        return np.where(found == MISSING, np.nan, found)
    finally:
        eccodes.codes_release(handle)


def sections(message: Any) -> list[tuple[int, Any]]:
    """Number and bytes of each section of edition 2, without the first and the last."""
    found, at = [], 16
    end = min(int.from_bytes(message[8:16], "big") - 4, len(message))
    while at + 5 <= end:
        length = int.from_bytes(message[at : at + 4], "big")
        if length < 5:
            break
        found.append((message[at + 4], message[at : at + length]))
        at += length
    return found


def one_field(message: Any, field: int = 0, with_data: bool = True) -> bytes:
    """A message of one field of a message of several; edition 1 has no others.

    ``with_data=False`` leaves out the bitmap and the data: headers only, behind which the message
    may end.

    Raises
    ------
    IndexError
        If the message has no such field.
    """
    if message[7] != 2:
        return bytes(message)
    current: dict[int, Any] = {}
    bitmap = None
    count = -1
    for number, section in sections(message):
        if number == 6:
            if section[5] not in (NO_BITMAP, LAST_BITMAP):
                bitmap = section
            elif section[5] == LAST_BITMAP and bitmap is not None:
                section = bitmap
        current[number] = section
        if number == (7 if with_data else 6):
            count += 1
            if count == field:
                return _joined(message, current if with_data else {**current, **NO_DATA})
    raise IndexError(f"the message has {count + 1} fields, not {field + 1}")


def _joined(message: Any, current: dict[int, Any]) -> bytes:
    body = b"".join(bytes(current[number]) for number in sorted(current))
    length = 16 + len(body) + 4
    return bytes(message[:8]) + length.to_bytes(8, "big") + body + b"7777"
