"""What a store says beside its values: attributes and which variables are coordinates.

A store of many files keeps what these share, so its attributes are right if at least one of the
files has each, and complete if none is missing that all have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from vzarr.virtualize.attributes import as_json_value, as_python, is_reference
from vzarr.virtualize.equality import same
from vzarr.virtualize.model import CF_ENCODING

READERS_OWN = frozenset({*CF_ENCODING, "coordinates", "dtype", "_ARRAY_DIMENSIONS"})
"""Attributes that readers take for themselves: their effect on values is compared."""


OWNER = ""
"""Stands for the group itself among its variables."""


@dataclass(frozen=True)
class Description:
    """Of one group of one file: attributes by variable, and the names of its coordinates."""

    attributes: dict[str, dict[str, Any]]
    coordinates: frozenset[str]


@dataclass
class _Attribute:
    first: Any
    url: str
    is_shared: bool = True
    is_held: bool = False
    files: int = 0


@dataclass
class Descriptions:
    """What several files say, folded as they come, beside what the store says.

    Along ``dimension`` they lie in the store, and along ``inner``, if that has two dimensions of
    files; a variable of such a name becomes its coordinate.
    """

    stored: Description
    dimension: str | None
    inner: str | None = None
    files: int = 0
    attributes: dict[tuple[str, str], _Attribute] = field(default_factory=dict)
    coordinates: dict[str, int] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)

    def add(self, description: Description, url: str) -> None:
        """Take in what one file says."""
        self.files += 1
        for name, attributes in description.attributes.items():
            self.names[name] = self.names.get(name, 0) + 1
            stored = self.stored.attributes.get(name, {})
            for key, value in attributes.items():
                seen = self.attributes.setdefault((name, key), _Attribute(value, url))
                seen.files += 1
                seen.is_shared &= same(seen.first, value)
                seen.is_held |= key in stored and same(stored[key], value)
        for name in description.coordinates:
            self.coordinates[name] = self.coordinates.get(name, 0) + 1

    def failures(self, of_all: bool) -> Iterator[tuple[str, str]]:
        """What the store says otherwise, and the file that shows it (empty: all of them do).

        ``of_all``: no file was left out.
        """
        for (name, key), seen in self.attributes.items():
            stored = self.stored.attributes.get(name)
            if stored is None:
                continue
            owner = f"{name} has the attribute" if name else "the group has the attribute"
            if key in stored and not seen.is_held:
                yield (
                    seen.url,
                    f"{owner} {key} {as_python(stored[key])!r} in the store, in the file "
                    f"{as_python(seen.first)!r}",
                )
            elif key not in stored and of_all and seen.is_shared and self._is_in_all(name, seen):
                yield seen.url, f"{owner} {key} {as_python(seen.first)!r}, the store has lost it"
        along = {OWNER, self.dimension, self.inner}
        for name in sorted(self.stored.attributes.keys() & self.names.keys() - along):
            count = self.coordinates.get(name, 0)
            is_one = name in self.stored.coordinates
            if count == self.names[name] and not is_one:
                yield "", f"{name} is a coordinate in the files, but no longer in the store"
            elif not count and is_one:
                yield "", f"{name} is a coordinate in the store, but not in the files"

    def _is_in_all(self, name: str, seen: _Attribute) -> bool:
        """Whether all files that have a variable say something of it."""
        return seen.files == self.names[name]


def describe_dataset(dataset: xr.Dataset) -> Description:
    """What one group of a file or of a store says."""
    attributes = {str(name): _attributes(v.attrs) for name, v in dataset.variables.items()}
    attributes[OWNER] = _attributes(dataset.attrs)
    return Description(attributes, frozenset(map(str, dataset.coords)))


def _attributes(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(key).rstrip("\x00"): as_json_value(value)
        for key, value in attributes.items()
        if key not in READERS_OWN and not is_reference(value)
    }
