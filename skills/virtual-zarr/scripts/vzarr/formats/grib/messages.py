"""Where the messages of a GRIB file lie, before ecCodes sees any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import eccodes
from virtual_zarr_grib import NO_BITMAP, one_field, sections

from vzarr.errors import InputError

SHORTEST = {1: 21, 2: 5, 3: 14, 4: 9, 5: 11, 6: 6, 7: 5}
"""Bytes that a section of edition 2 has at least, by its number."""
BEFORE = {(1, 3), (7, 2), (7, 3), (7, 4)}
"""Sections that follow one another beside those whose numbers do: the second may be left out, and a
message of several fields repeats from the second, the third or the fourth."""
LARGE = 0x800000
"""Marks a message of edition 1 whose length counts blocks, as of messages above 8 MiB."""


@dataclass(frozen=True)
class Message:
    """``fields`` counts those of one message, of which NCEP puts U and V into one."""

    offset: int
    length: int
    fields: int = 1


def find_messages(url: str, data: memoryview) -> list[Message]:
    """All messages of editions 1 and 2, in their order.

    Raises
    ------
    InputError
        If one is damaged: ecCodes never ends, or ends the process, where a section's length is
        none, and passes over other damaged ones.
    """
    messages = []
    whole = data.obj if isinstance(data.obj, bytes) and data.nbytes == len(data.obj) else data
    whole = bytes(whole)  # which copies nothing of bytes
    at = whole.find(b"GRIB")
    while 0 <= at < len(whole) - 8:
        edition = whole[at + 7]
        if edition not in (1, 2):
            at = whole.find(b"GRIB", at + 4)
            continue
        measure = _measure_second if edition == 2 else _measure_first
        message = measure(whole, at)
        if message is None:
            raise InputError(f"{url}: the message at byte {at} is damaged; fetch the file again.")
        messages.append(message)
        at = whole.find(b"GRIB", at + message.length)
    return messages


def _measure_second(data: bytes, at: int) -> Message | None:
    end = at + int.from_bytes(data[at + 8 : at + 16], "big")
    if not (at + 16 < end <= len(data) and _adds_up(data, at + 16, end)):
        return None
    fields = sum(number == 7 for number, _ in sections(memoryview(data)[at:end]))
    return Message(at, end - at, fields)


def _adds_up(data: bytes, at: int, end: int) -> bool:
    """Whether sections of edition 2 lie one behind another, in an order that can be."""
    last = 0
    while at + 5 <= end - 4:
        length, number = int.from_bytes(data[at : at + 4], "big"), data[at + 4]
        follows = number == last + 1 or (last, number) in BEFORE
        if length < SHORTEST.get(number, at + end) or not follows:
            return False
        at, last = at + length, number
    return at == end - 4 and last == 7 and data[at:end] == b"7777"


def _measure_first(data: bytes, at: int) -> Message | None:
    length = int.from_bytes(data[at + 4 : at + 7], "big")
    if length & LARGE:  # the fourth section's own length says how much of the last block is none
        length = _large_length(data, at, (length & (LARGE - 1)) * 120)
    end = at + length
    if length < 40 or end > len(data) or data[end - 4 : end] != b"7777":
        return None
    try:
        handle = eccodes.codes_new_from_message(data[at:end])
    except eccodes.CodesInternalError:
        return None
    eccodes.codes_release(handle)
    return Message(at, length)


def _large_length(data: bytes, at: int, most: int) -> int:
    place, flags = at + 8, data[at + 15]
    for present in (True, flags & 0x80, flags & 0x40):
        if present:
            place += int.from_bytes(data[place : place + 3], "big")
    section = int.from_bytes(data[place : place + 3], "big")
    return most - section + 4 if section < 120 else int(most)


def headers(octets: Any, part: int) -> bytes:
    """A message of one field without its values; of edition 1, which has none without, whole."""
    return one_field(octets, part, with_data=False)


def has_bitmap(octets: Any, part: int) -> bool:
    """Whether a field of edition 2 has one, of its own or of one before it in the message."""
    marks = [section[5] for number, section in sections(octets) if number == 6]
    return marks[part] != NO_BITMAP
