"""Which messages ``--select`` takes, by an index beside the file or by what ecCodes says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vzarr.errors import InputError
from vzarr.formats.grib.fields import Field
from vzarr.formats.grib.index import Entry
from vzarr.formats.grib.layout import HOUR

KEYS = ("param", "level", "step", "number", "product")
"""What may be told of any message. An index of ECMWF has more: its own keys."""
SCALES = {"mb": 100.0, "m": 1.0}


@dataclass(frozen=True)
class Selection:
    """Messages that any of the alternatives takes: a pattern, or keys that must all fit."""

    texts: tuple[str, ...]
    patterns: tuple[re.Pattern[str], ...]
    keys: tuple[Mapping[str, frozenset[str]], ...]

    def takes_entry(self, entry: Entry) -> bool:
        """Whether a message is wanted, by its line in the index."""
        if any(pattern.search(entry.line) for pattern in self.patterns):
            return True
        return any(
            all(_told_by_entry(entry, key) & wanted for key, wanted in keys.items())
            for keys in self.keys
        )

    def takes_field(self, item: Field) -> bool:
        """By keys: a pattern is of an index.

        Raises
        ------
        InputError
            If there is a pattern.
        """
        if self.patterns:
            raise InputError(
                f"--select {self.texts[0]}: a pattern is of the lines of an index, and none lies "
                "beside the file: select by keys, as in param=tmp;level=2."
            )
        told = _told_by_field(item)
        return any(
            all(told.get(key, frozenset()) & wanted for key, wanted in keys.items())
            for keys in self.keys
        )


def parse_selection(texts: tuple[str, ...]) -> Selection:
    """``param=tmp,ugrd;level=2`` (all keys must fit), or a pattern as of wgrib2's ``-match``.

    Raises
    ------
    InputError
        For what is neither.
    """
    patterns, keys = [], []
    for text in texts:
        if "=" not in text.split(":", 1)[0]:
            try:
                patterns.append(re.compile(text))
            except re.error as error:
                raise InputError(f"--select {text}: no pattern: {error}.") from error
            continue
        wanted = {}
        for pair in text.split(";"):
            key, equals, values = pair.partition("=")
            if not (key.strip() and equals and values.strip()):
                raise InputError(f"--select {text}: {pair!r} is not KEY=VALUE[,VALUE…].")
            wanted[key.strip()] = frozenset(_normal(value) for value in values.split(","))
        keys.append(wanted)
    return Selection(texts, tuple(patterns), tuple(keys))


def _normal(text: str) -> str:
    """Text in one form, numbers without zeros behind the point."""
    text = text.strip().lower()
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def _told_by_entry(entry: Entry, key: str) -> frozenset[str]:
    """What a line says of a key, in all forms in which somebody may ask for it."""
    if key not in entry.keys:
        key = {"levelist": "level", "level": "levelist"}.get(key, key)
    if key not in entry.keys:
        return frozenset()
    value = entry.keys[key]
    values = {_normal(value)}
    if "d" not in entry.keys:
        return frozenset(values)
    first, *words = value.split(" ")
    if key == "step":
        values |= {"0"} if value == "anl" else {_normal(first)}
    elif key == "level" and words:
        values.add(_normal(first))
        if words[0] in SCALES and re.fullmatch(r"[\d.]+", first):
            values.add(f"{float(first) * SCALES[words[0]]:g}")
    return frozenset(values)


def _told_by_field(item: Field) -> dict[str, frozenset[str]]:
    start, end = ((moment - item.reference) / HOUR for moment in (item.start, item.end))
    steps = {f"{end:g}"} | ({f"{start:g}-{end:g}"} if item.is_statistic else set())
    levels = {f"{value:g}" for value in item.level}
    if item.place.startswith("isobar"):
        levels |= {f"{value / 100:g}" for value in item.level}
    number = dict(item.limits).get("number", ())
    return {
        "param": frozenset({item.name, item.short_name.lower()}),
        "level": frozenset(levels),
        "step": frozenset(steps),
        "number": frozenset(f"{value:g}" for value in number),
        "product": frozenset({item.kind}),
    }
