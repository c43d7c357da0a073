"""Coordinates that files do not hold: their names tell them, or a table that lists the files."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from vzarr.combine.combine import with_record_dimension
from vzarr.errors import InputError, Refused
from vzarr.text import drop_options
from vzarr.virtualize.model import ParsedFile

DIRECTIVES = {
    "Y": r"\d{4}",
    "y": r"\d{2}",
    "m": r"\d{2}",
    "d": r"\d{2}",
    "j": r"\d{3}",
    "H": r"\d{2}",
    "M": r"\d{2}",
    "S": r"\d{2}",
    "f": r"\d{1,6}",
    "b": r"[A-Za-z]{3}",
    "B": r"[A-Za-z]+",
}
"""What a name may hold for each part of a time, by the letters of ``strptime``."""

TIME = "time"
CONVERTED: dict[str, Any] = {
    "int": int,
    "float": float,
    TIME: lambda text: np.datetime64(datetime.fromisoformat(text).replace(tzinfo=None), "us"),
    "text": str,
}
"""What a table's text means, the narrowest kind first."""


@dataclass(frozen=True)
class Given:
    """Values of one coordinate of one file, as text, and which ``kind`` of ``CONVERTED`` it is."""

    kind: str
    values: tuple[str, ...]

    def as_variable(self, dimension: str) -> xr.Variable:
        """Along the record dimension."""
        values = [CONVERTED[self.kind](text) for text in self.values]
        dtype: Any = {TIME: "M8[us]", "text": object, "int": "i8", "float": "f8"}[self.kind]
        return xr.Variable((dimension,), np.array(values, dtype))

    def as_json(self) -> dict[str, Any]:
        """For the ledger."""
        return {"kind": self.kind, "values": list(self.values)}


def from_record(record: Mapping[str, Any]) -> dict[str, Given]:
    """What was given to a source, by its record in the ledger."""
    return {
        name: Given(given["kind"], tuple(given["values"]))
        for name, given in sorted(record.get("coords", {}).items())
    }


@dataclass(frozen=True)
class NamedCoordinates:
    """Where coordinates come from: ``formats`` of names, by coordinate, and a table.

    ``rows`` of that by file, each with the text of its ``columns``, whose kinds these are;
    ``digest`` tells tables apart.
    """

    formats: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    digest: str = ""

    @property
    def names(self) -> list[str]:
        """The coordinates, the first one that of the records where nothing else is said."""
        return [*self.formats, *self.columns]

    @property
    def rule(self) -> dict[str, Any]:
        """What a store keeps, for files to come."""
        return {"formats": dict(self.formats), "columns": dict(self.columns)}

    def of(self, url: str) -> dict[str, Given]:
        """What is given to one file.

        Raises
        ------
        InputError
            If its name, or the table, does not tell.
        """
        given = {
            name: Given(TIME, (_time_in_name(url, name, form).isoformat(),))
            for name, form in self.formats.items()
        }
        if not self.columns:
            return given
        path = url.removeprefix("file://")
        rows = next((self.rows[key] for key in (url, path, _last(url)) if key in self.rows), None)
        if rows is None:
            raise InputError(
                f"{url}: the table of coordinates has no row for it: add one that begins with "
                f"{_last(url)}."
            )
        for name, kind in self.columns.items():
            texts = tuple(row[name] for row in rows)
            for text in texts:
                _check_kind(url, name, kind, text)
            given[name] = Given(kind, texts)
        return given


NONE = NamedCoordinates()


def _last(url: str) -> str:
    return url.rstrip("/").rpartition("/")[2]


def _check_kind(url: str, name: str, kind: str, text: str) -> None:
    try:
        CONVERTED[kind](text)
    except ValueError:
        kinds = {"int": "a whole number", "float": "a number", TIME: "a time as 2020-01-31"}
        raise InputError(
            f"{url}: {name} is {text!r} in the table of coordinates, but others are {kinds[kind]}."
        ) from None


def parse_formats(texts: Iterable[str]) -> dict[str, str]:
    """Formats by coordinate, of texts as ``time=%Y%m``.

    Raises
    ------
    InputError
        For a text of another form.
    """
    formats: dict[str, str] = {}
    for text in texts:
        name, equals, form = text.partition("=")
        if not name or not equals or "%" not in form:
            raise InputError(f"--coord {text}: is not of the form NAME=FORMAT, as time=%Y%m.")
        _pattern(form)
        formats[name] = form
    return formats


def _pattern(form: str) -> re.Pattern[str]:
    """What finds a time of this format in a name; digits beside it would belong to it."""
    parts = re.split(r"%(.)", form)
    pattern = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            pattern += re.escape(part)
        elif part in DIRECTIVES:
            pattern += DIRECTIVES[part]
        else:
            known = " ".join(f"%{letter}" for letter in DIRECTIVES)
            raise InputError(f"--coord: %{part} is none of the parts of a time in names: {known}.")
    before, behind = "" if parts[0] else r"(?<!\d)", "" if parts[-1] else r"(?!\d)"
    return re.compile(before + pattern + behind)


def _time_in_name(url: str, name: str, form: str) -> datetime:
    times = _times(url, form)
    if len(times) == 1:
        return times.pop()
    what = "several of them" if times else "none"
    more = ": write more of the name before or behind it" if times else ""
    raise InputError(
        f"{url}: --coord {name}={form} wants one time of this form in the name, which has "
        f"{what}{more}."
    )


def _times(url: str, form: str) -> set[datetime]:
    """All times of this form in a name."""
    text = url if "/" in form else _last(url)
    times = set()
    for match in _pattern(form).finditer(text):
        try:
            times.add(datetime.strptime(match[0], form))
        except ValueError:  # a 13th month
            continue
    return times


def times_in_names(urls: Iterable[str], form: str) -> list[datetime]:
    """The time in each name; none at all if one has no single time of this form."""
    times = [_times(url, form) for url in urls]
    return [each.pop() for each in times] if all(len(each) == 1 for each in times) else []


def read_table(path: str, kinds: Mapping[str, str] | None = None) -> NamedCoordinates:
    """The coordinates of a table in CSV: a column ``file``, and one for each coordinate.

    A file of several steps has as many rows. ``kinds``: those of the columns of a store that other
    tables were taken into.

    Raises
    ------
    InputError
        If it cannot be read, or is no such table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a table: {error}.") from error
    lines = list(csv.DictReader(text.splitlines(), skipinitialspace=True))
    names = list(lines[0]) if lines else []
    if "file" not in names or len(names) < 2:
        raise InputError(
            f"{path}: is no table of coordinates: its first line has to be file,NAME, as file,time."
        )
    columns = [name for name in names if name != "file"]
    rows: dict[str, list[dict[str, str]]] = {}
    for number, line in enumerate(lines, 2):
        if None in line or any(line[name] in (None, "") for name in names):
            raise InputError(f"{path}: line {number} has not one value for each of {names}.")
        rows.setdefault(line["file"], []).append({name: line[name].strip() for name in columns})
    own = {name: _kind([row[name] for each in rows.values() for row in each]) for name in columns}
    if kinds is not None and set(kinds) != set(columns):
        raise InputError(
            f"{path}: has the columns {', '.join(columns)}, but the store {', '.join(kinds)}."
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    return NamedCoordinates(columns=dict(kinds or own), rows=rows, digest=digest)


def _kind(texts: Sequence[str]) -> str:
    for kind, convert in CONVERTED.items():
        try:
            for text in texts:
                convert(text)
        except ValueError:
            continue
        return kind
    return "text"


def named_coordinates(formats: Iterable[str], table: str | None) -> NamedCoordinates:
    """Of the options ``--coord`` and ``--coord-table``.

    Raises
    ------
    InputError
        For a bad format or table, and a coordinate that both give.
    """
    parsed = parse_formats(formats)
    from_table = read_table(table) if table else NONE
    if twice := sorted(parsed.keys() & from_table.columns.keys()):
        raise InputError(f"{twice[0]}: is given by --coord and by --coord-table: name it once.")
    return replace(from_table, formats=parsed)


def give_coordinates(file: ParsedFile, given: Mapping[str, Given], dimension: str) -> ParsedFile:
    """A file with coordinates that it does not hold, in all groups that have the dimension.

    Raises
    ------
    Refused
        If it holds one of the name, or has another number of steps.
    """
    if not given:
        return file
    if file.children:
        children = {
            path: _with_given(part, given, dimension) if dimension in part.dataset.dims else part
            for path, part in file.children.items()
        }
        root = _with_given(file, given, dimension) if dimension in file.dataset.dims else file
        return replace(root, children=children, given=dict(given))
    return replace(_with_given(file, given, dimension), given=dict(given))


def _with_given(part: ParsedFile, given: Mapping[str, Given], dimension: str) -> ParsedFile:
    url = part.source.url
    new = {}
    for name, values in given.items():
        if name in part.dataset.variables:
            raise Refused(
                f"{url}: has a variable {name} of its own. To give it another one, leave that out "
                f"with {drop_options([name])}; else give none."
            )
        new[name] = values.as_variable(dimension)
    part = with_record_dimension(part, dimension)
    for name, variable in new.items():
        steps = part.dataset.sizes.get(dimension, 1)
        if len(variable) != steps:
            raise Refused(
                f"{url}: has {steps} steps along {dimension}, but {len(variable)} "
                f"value{'s' if len(variable) > 1 else ''} of {name} for it: list the file in as "
                "many lines of a table, --coord-table."
            )
    packing: dict[str, dict[str, Any]] = {**part.packing, **{name: {} for name in new}}
    return replace(part, dataset=part.dataset.assign_coords(new), packing=packing)
