"""What a build was asked for, how far it is, and what it made."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import icechunk

from vzarr.combine.combine import Boundary
from vzarr.combine.copied import Share
from vzarr.combine.named_coordinates import NONE, NamedCoordinates
from vzarr.combine.plan import NO_CHOICE, Policy
from vzarr.combine.store_metadata import Plan, StoreMetadata
from vzarr.progress import Progress
from vzarr.sources.discover import Source
from vzarr.sources.schemes import Access


@dataclass(frozen=True)
class BuildRequest:
    """One call of ``build``, whose options it has; ``sources`` are what ``patterns`` name."""

    location: str
    access: Access
    patterns: tuple[str, ...]
    sources: tuple[Source, ...]
    concat_dim: str | None
    inner: str | None
    drop: tuple[str, ...]
    groups: tuple[str, ...]
    skip_bad: bool
    message: str | None
    everything: bool
    allow_copy: int | None
    prefixes: tuple[str, ...]
    progress: Progress
    policy: Policy = NO_CHOICE
    coordinates: NamedCoordinates = NONE

    @property
    def plan(self) -> Plan:
        """What a later run has to be asked for, too, to go on with this one's work."""
        plan = Plan(
            concat_dim=self.concat_dim,
            drop=sorted(self.drop),
            groups=sorted(self.groups),
            prefixes=sorted(self.prefixes),
        )
        if self.inner is not None:
            plan["inner"] = self.inner
        if self.access.select:
            plan["select"] = sorted(self.access.select)
        if self.policy.overlap is not None:
            plan["overlap"] = self.policy.overlap
        if self.policy.packing is not None:
            plan["packing"] = self.policy.packing
        if self.coordinates != NONE:
            plan["coord"] = {**self.coordinates.rule, "digest": self.coordinates.digest}
        return plan


@dataclass(frozen=True)
class BuildState:
    """How far a build is: ``metadata`` is of all files that are written, on its branch at ``tip``.

    ``left_out`` has the sentence for each file that was not taken, ``before`` the first and the
    last file that were; ``resumed`` files were written by an earlier run.
    """

    dimension: str | None = None
    repository: icechunk.Repository | None = None
    metadata: StoreMetadata | None = None
    tip: str = ""
    notes: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    before: Boundary | None = None
    resumed: int = 0
    share: Share = field(default_factory=Share)

    @property
    def done(self) -> int:
        """The number of files that are written or left out."""
        return len(self.metadata["sources"]) + len(self.left_out) if self.metadata else 0


@dataclass
class Built:
    """What ``build`` made.

    ``loaded`` are coordinates, kept as numbers by design; ``native`` gives the reason for each
    variable that had to be copied; ``share`` how much is virtual and how much was copied;
    ``left_out`` the sentence for each file that is not in it;
    ``resumed`` the number of files that an earlier run had written; ``containers`` the prefixes
    that readers have to authorize; ``ways`` how variables whose chunks fill no regular grid became
    one array (``vzarr.combine.plan.Way``).
    """

    repository: str
    snapshot: str
    concat_dim: str | None
    sizes: dict[str, int]
    sources: list[str]
    references: int
    virtual: list[str]
    loaded: list[str]
    native: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    resumed: int = 0
    containers: list[str] = field(default_factory=list)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)
    share: Share = field(default_factory=Share)

    def _repr_html_(self) -> str:
        from vzarr.pages.render import fragment

        sizes = ", ".join(f"{name} {size:,}" for name, size in self.sizes.items())
        rows: list[tuple[str, object]] = [
            ("snapshot", self.snapshot),
            ("sizes", sizes),
            ("files", f"{len(self.sources):,}, {self.references:,} references"),
            ("virtual", ", ".join(self.virtual) or "nothing"),
            ("loaded", ", ".join(self.loaded)),
        ]
        rows += [("copied", f"{name}: {why}") for name, why in sorted(self.native.items())]
        rows += [("left out", f"{name}: {why}") for name, why in sorted(self.dropped.items())]
        rows += [("left out", sentence) for sentence in self.left_out]
        rows += [("readers authorize", prefix) for prefix in self.containers]
        return fragment(self.repository, [*rows, *(("note", note) for note in self.notes)])

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        values = asdict(self)
        values.pop("share")
        return {**values, "bytes": self.share.as_json()}
