"""What becomes of one file: its references, its loaded values, and the reasons for the rest."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from virtualizarr.manifests import ManifestArray

from vzarr.formats.reasons import Reason
from vzarr.limits import box_shape, boxes
from vzarr.sources.discover import Source, SourceRecord
from vzarr.upstream.virtualizarr import holds_inlined
from vzarr.upstream.xarray import unread_data

DIGESTED = 32 * 1024**2
"""Bytes of a variable that are hashed at a time."""


@dataclass
class ParsedFile:
    """What became of one file.

    ``dataset`` holds virtual variables (ManifestArray) and loaded ones (NumPy); ``native`` and
    ``dropped`` give the reason for each variable that did not become virtual; ``packing`` holds the
    CF encoding of every variable; ``digests`` the hash of the decoded values of each variable
    without the record dimension. It describes the root ``group``; ``children`` the others, by path.
    ``data_url`` is where the bytes lie: elsewhere than the source for DMR++. ``fingerprint`` tells
    whether two files hold the same; None for folders. ``ways`` (of ``vzarr.combine.plan``) say how
    variables were made fit for those of other files; ``scalars`` are the values of those without a
    dimension, as they would be stored. ``companions`` are files of other variables of the same
    records, which are in ``dataset``, too; ``own`` are the file's then. ``within``: of files that
    lie along a second dimension, too, that one, and where the file begins and ends along it.
    ``lacks`` are variables in ``dataset`` that are missing in the file. ``steps``: the first of the
    file's own that is in ``dataset``, and the one behind the last, None for all behind it.
    ``kind``: the group of a store that it lies in though the file has no such; ``read_from`` the
    file's that ``group`` is then.
    ``raw``: variables that are stored as they are packed (``vzarr.combine.raw_packing``).
    ``given``: coordinates that the file does not hold (``vzarr.combine.named_coordinates``).
    """

    source: Source
    file_format: str
    dataset: xr.Dataset
    unlimited: tuple[str, ...] = ()
    native: dict[str, Reason] = field(default_factory=dict)
    dropped: dict[str, Reason] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    packing: dict[str, dict[str, Any]] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    group: str = ""
    children: dict[str, ParsedFile] = field(default_factory=dict)
    data_url: str = ""
    fingerprint: str | None = None
    ways: dict[str, Any] = field(default_factory=dict)
    scalars: dict[str, xr.Variable] = field(default_factory=dict)
    companions: list[ParsedFile] = field(default_factory=list)
    own: tuple[str, ...] = ()
    within: tuple[str, int, int] | None = None
    lacks: tuple[str, ...] = ()
    steps: tuple[int, int | None] | None = None
    given: dict[str, Any] = field(default_factory=dict)
    raw: tuple[str, ...] = ()
    kind: str = ""
    read_from: str | None = None

    @property
    def files(self) -> list[ParsedFile]:
        """The file itself and those beside it."""
        return [self, *self.companions]

    def as_record(self) -> SourceRecord:
        """JSON form of the source, as kept in the commit's metadata."""
        more: Any = {"lacks": names} if (names := self.all_lacks()) else {}
        if self.kind:
            more["kind"] = self.kind
        if self.steps is not None:
            more["steps"] = list(self.steps)
        if self.given:
            more["coords"] = {name: given.as_json() for name, given in self.given.items()}
        return {**self.source.as_record(), "fingerprint": self.fingerprint, **more}

    def all_lacks(self) -> list[str]:
        """``lacks`` of all groups, as paths."""
        inside = (f"{path}/{name}" for path, part in self.children.items() for name in part.lacks)
        return [*self.lacks, *inside]

    @property
    def native_group(self) -> str:
        """The group of the file that its reader opens."""
        return self.group if self.read_from is None else self.read_from

    @property
    def is_empty(self) -> bool:
        """Whether the group has no variables."""
        return not self.dataset.variables

    @property
    def virtual(self) -> list[str]:
        """Names of the variables that are references."""
        return [str(name) for name, v in self.dataset.variables.items() if is_virtual(v)]

    @property
    def references(self) -> int:
        """Chunks of its virtual variables, in all groups."""
        own = (
            math.prod(self.dataset[name].data.manifest.shape_chunk_grid) for name in self.virtual
        )
        return sum(own) + sum(part.references for part in self.children.values())


def part_of(parsed: ParsedFile, group: str) -> ParsedFile:
    """One group of a parsed file; the root is an empty string."""
    return parsed.children[group] if group else parsed


def group_paths(parsed: ParsedFile) -> list[str]:
    """The groups with variables."""
    return [*([] if parsed.is_empty else [""]), *parsed.children]


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be parsed, and the sentence that says why."""

    source: Source
    reason: str


MEANING = ("units", "flag_values", "flag_masks", "flag_meanings")
"""Attributes that say what decoded numbers mean: of one array, so of all files in it."""


CF_ENCODING = (
    "scale_factor",
    "add_offset",
    "_FillValue",
    "missing_value",
    "_Unsigned",
    "calendar",
    *MEANING,
)


def is_virtual(variable: xr.Variable) -> bool:
    """Whether a variable is made of references."""
    return isinstance(unread_data(variable), ManifestArray)


def holds_values(variable: xr.Variable) -> bool:
    """Whether a virtual variable's values, or some, are kept beside the references."""
    return holds_inlined(variable.data.manifest)


def cf_encoding(variable: xr.Variable) -> dict[str, Any]:
    """What decides how stored numbers of a decoded variable become values."""
    merged = {**variable.attrs, **variable.encoding}
    return {key: merged[key] for key in CF_ENCODING if merged.get(key) is not None}


def digest(variable: xr.Variable) -> str:
    """A hash of a variable's dimensions and decoded values; NaN is NaN, whatever its bits."""
    hashed = hashlib.sha256(repr((variable.dims, variable.shape)).encode())
    if variable.dtype.hasobject:
        hashed.update(repr(variable.values.tolist()).encode())
        return hashed.hexdigest()
    step = box_shape(variable.shape, variable.dtype.itemsize, DIGESTED)
    for box in boxes(variable.shape, step):
        values = variable[box].values
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values)
        hashed.update(values.tobytes())
    return hashed.hexdigest()
