"""How much of a store is a copy: what may be copied without a word, and what needs one."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import xarray as xr

from vzarr.combine.mixed_array import copied_bytes
from vzarr.virtualize.model import is_virtual

HARMLESS = 10 * 10**6
"""Bytes that may be copied without a word, even where nothing is virtual."""


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_bytes(text: str) -> int:
    """The number of bytes that a text like ``500MB`` or ``1.5GB`` says.

    Raises
    ------
    ValueError
        For any other text.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?B|)", text.strip().upper())
    if match is None:
        raise ValueError(f"{text!r} is no number of bytes, as 500MB or 1.5GB")
    return math.ceil(float(match[1]) * _UNITS[match[2]])


def show_bytes(count: int) -> str:
    """A number of bytes, rounded up, as ``parse_bytes`` reads it."""
    for name in ("TB", "GB", "MB", "kB"):
        unit = _UNITS[name.upper()]
        if count >= unit:
            digits = 10 ** max(0, 1 - int(math.log10(count / unit)))
            return f"{math.ceil(count / unit * digits) / digits:g}{name}"
    return f"{count}B"


@dataclass(frozen=True)
class Share:
    """Decoded bytes that references stand for, and that are copied because references cannot.

    Coordinates that are kept as numbers by design are neither. ``chosen`` of the ``native`` were
    asked for.
    """

    virtual: int = 0
    native: int = 0
    names: dict[str, int] = field(default_factory=dict)
    chosen: int = 0

    @property
    def is_mostly_copy(self) -> bool:
        """Whether more is copied than is virtual."""
        return self.native > self.virtual

    @property
    def needs_a_word(self) -> bool:
        """Whether somebody has to allow the copy: it is most of the store, and not small."""
        return self.is_mostly_copy and self.native - self.chosen > HARMLESS

    def __add__(self, other: Share) -> Share:
        paths = {*self.names, *other.names}
        names = {path: self.names.get(path, 0) + other.names.get(path, 0) for path in paths}
        virtual, native = self.virtual + other.virtual, self.native + other.native
        return Share(virtual, native, names, self.chosen + other.chosen)

    def as_json(self) -> dict[str, int]:
        """Bytes, for a program."""
        chosen = {"chosen": self.chosen} if self.chosen else {}
        return {"virtual": self.virtual, "native": self.native, **chosen}


def weigh(
    datasets: dict[str, xr.Dataset],
    native: dict[str, dict[str, str]],
    dimension: str | None,
    chosen: bool = False,
) -> Share:
    """The share of a copy in what is written. ``native`` names copied variables by group.

    ``dimension``: count only what grows along it, if it is not None. ``chosen``: what is copied of
    virtual variables was asked for.
    """
    names: dict[str, int] = {}
    virtual = mixed = 0
    for group, dataset in datasets.items():
        for name, variable in dataset.variables.items():
            if dimension is not None and dimension not in variable.dims:
                continue
            if is_virtual(variable):
                copied = copied_bytes(variable.data)
                virtual += variable.nbytes - copied
                mixed += copied
            elif name in native.get(group, {}):
                names[f"{group}/{name}".lstrip("/")] = variable.nbytes
    return Share(virtual, sum(names.values()) + mixed, names, mixed if chosen else 0)
