"""The fields of one GRIB file in their groups, with its grids, found once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from vzarr.errors import InputError
from vzarr.formats.grib.arrays import Decoder
from vzarr.formats.grib.fields import Field, read_fields
from vzarr.formats.grib.grids import Grid, describe_grid
from vzarr.formats.grib.index import read_index
from vzarr.formats.grib.indexed import fields_by_index
from vzarr.formats.grib.layout import FORECAST, Group, lay_out
from vzarr.formats.grib.messages import find_messages
from vzarr.formats.grib.selection import Selection, parse_selection
from vzarr.sources.content import Content, read_ranges

_decoders: dict[tuple[str, ...], Decoder] = {}
"""What decodes selected messages, which are not read again in each file."""


@dataclass
class Survey:
    """A GRIB file's fields in their groups. ``is_whole``: all its bytes are in memory."""

    content: Content
    fields: list[Field]
    groups: dict[str, Group]
    decoder: Decoder
    is_whole: bool = True
    message_cache: dict[int, bytes] = field(default_factory=dict)

    def octets(self, item: Field) -> Any:
        """The message that a field is of."""
        if self.is_whole:
            return self.content.once(_octets)[item.offset : item.offset + item.length]
        if item.offset not in self.message_cache:
            self.message_cache.clear()  # several fields of one message are read one after the other
            place = (item.offset, item.length)
            (self.message_cache[item.offset],) = read_ranges(self.content, [place])
        return self.message_cache[item.offset]

    def grid(self, group: Group) -> Grid:
        """The grid that all fields of a group share."""
        """The grid of a group's fields."""
        first = group.first
        copies = sum(other.first.grid == first.grid for other in self.groups.values())
        return describe_grid(first.head or bytes(self.octets(first)), first, copies)


def survey_file(content: Content) -> Survey:
    """The fields of a file, along reference time and step where it is combined along these."""
    wanted = content.findings.combined_along or ()
    return content.once(_make_survey, bool({wanted, *wanted} & {*FORECAST}))


def _octets(content: Content) -> memoryview:
    return memoryview(content.read())


def _make_survey(content: Content, forecast: bool) -> Survey:
    select = content.access.select
    entries = content.once(read_index) if select else []
    if entries:
        fields = content.once(_by_index, select)
        decoder = _decoders.setdefault(select, Decoder())
    else:
        fields = _all_fields(content)
        decoder = Decoder()
        if select:
            fields = _chosen(content, fields, parse_selection(select))
    groups = lay_out(content.url, fields, forecast)
    return Survey(content, fields, groups, decoder, is_whole=not entries)


def _all_fields(content: Content) -> list[Field]:
    data = content.once(_octets)
    messages = find_messages(content.url, data)
    if not messages:
        raise ValueError("ecCodes finds no complete GRIB message in it")
    return read_fields(content.url, data, messages)


def _chosen(content: Content, every: list[Field], selection: Selection) -> list[Field]:
    """Fields that ``--select`` takes, of all of a file without an index.

    Raises
    ------
    InputError
        If it takes none.
    """
    chosen = [item for item in every if selection.takes_field(item)]
    if not chosen:
        names = sorted({item.name for item in every})
        raise InputError(_takes_none(content, selection, len(every), names))
    return chosen


def _by_index(content: Content, select: tuple[str, ...]) -> list[Field]:
    """Fields that ``--select`` takes, by the index beside the file.

    Raises
    ------
    InputError
        If it takes none.
    """
    selection = parse_selection(select)
    entries = content.once(read_index)
    chosen = [entry for entry in entries if selection.takes_entry(entry)]
    if not chosen:
        names = sorted({entry.keys.get("param", "") for entry in entries})
        raise InputError(_takes_none(content, selection, len(entries), names))
    lines = "\n".join(entry.line for entry in chosen)
    content.findings.fingerprint = hashlib.sha256(lines.encode()).hexdigest()[:32]
    read = partial(read_ranges, content)
    fields, content.findings.as_others = fields_by_index(content.url, chosen, select, read)
    return fields


def _takes_none(content: Content, selection: Selection, count: int, names: list[str]) -> str:
    told = " ".join(f"--select {text}" for text in selection.texts)
    return (
        f"{content.url}: {told} takes none of its {count} messages; they are of "
        f"{', '.join(names[:12])}{', …' if len(names) > 12 else ''}. "
        "If others have them, as totals of which step 0 has none: --skip-bad leaves it out."
    )
