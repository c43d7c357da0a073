"""What an append was asked for, and what it did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from vzarr.progress import Progress
from vzarr.sources.schemes import Access


@dataclass(frozen=True)
class AppendRequest:
    """One call of ``append``, whose options it has."""

    location: str
    access: Access
    replace_known: bool
    skip_bad: bool
    made_of: tuple[str, ...]
    message: str | None
    workers: int | None
    dask: str | None
    progress: Progress
    patterns: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    irregular: str | None = None


@dataclass(frozen=True)
class Appended:
    """What ``append`` did. ``snapshot`` is None where there was nothing to commit.

    ``known`` says of files that are in the repository already under which URL; ``superseded`` of
    files whose place another one took, which; ``renewed`` names files that were written again with
    the same content; ``left_out`` gives the sentence for each file that does not fit;
    ``containers`` the prefixes that are new, which readers have to authorize. ``lengths`` are the
    steps that were appended, by group (the root is "/"), of groups that grow; ``length`` is their
    number where all have the same, else None.
    ``ways`` as in ``vzarr.changes.build.Built``, of what was appended.
    """

    repository: str
    appended: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    references: int = 0
    length: int | None = 0
    lengths: dict[str, int] = field(default_factory=dict)
    snapshot: str | None = None
    containers: list[str] = field(default_factory=list)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)
