"""The fields of one GRIB file in their groups, with its grids, found once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vzarr.formats.grib.arrays import Decoder
from vzarr.formats.grib.fields import Field, read_fields
from vzarr.formats.grib.grids import Grid, describe_grid
from vzarr.formats.grib.layout import FORECAST, Group, lay_out
from vzarr.formats.grib.messages import find_messages
from vzarr.sources.content import Content


@dataclass
class Survey:
    """A GRIB file's fields in their groups. ``grids`` by the hash of their section."""

    data: memoryview
    fields: list[Field]
    groups: dict[str, Group]
    grids: dict[str, Grid] = field(default_factory=dict)
    decoder: Decoder = field(default_factory=Decoder)

    def octets(self, item: Field) -> Any:
        return self.data[item.offset : item.offset + item.length]

    def grid(self, group: Group) -> Grid:
        first = group.first
        if first.grid not in self.grids:
            copies = sum(other.first.grid == first.grid for other in self.groups.values())
            self.grids[first.grid] = describe_grid(self.octets(first), first, copies)
        return self.grids[first.grid]


def survey_file(content: Content) -> Survey:
    """The fields of a file, along reference time and step where it is combined along these."""
    return content.once(_make_survey, content.findings.combined_along in FORECAST)


def _octets(content: Content) -> memoryview:
    return memoryview(content.read())


def _make_survey(content: Content, forecast: bool) -> Survey:
    data = content.once(_octets)
    messages = find_messages(content.url, data)
    if not messages:
        raise ValueError("ecCodes finds no complete GRIB message in it")
    fields = read_fields(content.url, data, messages)
    return Survey(data, fields, lay_out(content.url, fields, forecast))
