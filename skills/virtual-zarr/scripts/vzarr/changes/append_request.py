"""What an append was asked for, and what it did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
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
    overlap: str | None = None
    coord_table: str | None = None
    insert: bool = False


@dataclass(frozen=True)
class Appended:
    """What ``append`` did. ``snapshot`` is None where there was nothing to commit.

    ``known`` says of files that are in the repository already under which URL; ``superseded`` of
    files whose place another one took, which; ``removed`` are files that were taken out, and are
    left out; ``renewed`` names files that were written again with
    the same content; ``left_out`` gives the sentence for each file that does not fit;
    ``containers`` the prefixes that are new, which readers have to authorize. ``lengths`` are the
    steps that were appended, by group (the root is "/"), of groups that grow; ``length`` is their
    number where all have the same, else None.
    ``inserted`` are files that were put in front of others; ``late`` gives the sentence for each
    that belongs there and was not, which kept no other file out.
    ``ways`` as in ``vzarr.changes.build.Built``, of what was appended.
    """

    repository: str
    appended: list[str] = field(default_factory=list)
    inserted: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    references: int = 0
    length: int | None = 0
    lengths: dict[str, int] = field(default_factory=dict)
    snapshot: str | None = None
    containers: list[str] = field(default_factory=list)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)

    def then(self, later: Appended) -> Appended:
        """What a run did in two commits."""
        done = {*self.appended, *self.replaced, *self.renewed}
        lengths = {
            group: self.lengths.get(group, 0) + later.lengths.get(group, 0)
            for group in {**self.lengths, **later.lengths}
        }
        known = {url: name for url, name in later.known.items() if url not in done}
        totals = {*lengths.values()} or {0}
        return replace(
            later,
            appended=[*self.appended, *later.appended],
            replaced=[*self.replaced, *later.replaced],
            renewed=[*self.renewed, *later.renewed],
            known={**self.known, **known},
            superseded={**self.superseded, **later.superseded},
            removed=list(dict.fromkeys([*self.removed, *later.removed])),
            left_out=list(dict.fromkeys([*self.left_out, *later.left_out])),
            notes=list(dict.fromkeys([*self.notes, *later.notes])),
            references=self.references + later.references,
            length=totals.pop() if len(totals) == 1 else None,
            lengths=lengths,
            snapshot=later.snapshot or self.snapshot,
            containers=sorted({*self.containers, *later.containers}),
            ways={**self.ways, **later.ways},
        )

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return asdict(self)
