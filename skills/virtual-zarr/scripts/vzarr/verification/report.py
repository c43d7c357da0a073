"""What a comparison found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

SHOWN = 20
"""Failures that a notebook shows; the others are counted."""


@dataclass(frozen=True)
class Place:
    """A group of a source; the root is an empty string."""

    url: str
    group: str = ""


@dataclass(frozen=True)
class Differing:
    """Values of a variable that differ: the first of them, where in the file's part it lies, and
    how many of ``size`` do.
    """

    name: str
    at: tuple[int, ...]
    stored: str
    in_file: str
    count: int
    size: int


@dataclass(frozen=True)
class Failure:
    """One thing in a store that is not as in its sources. ``str()`` gives the whole sentence.

    ``url``: the source that shows it, empty where it is of all of them; ``group``: where it lies;
    ``values`` where it is about these.
    """

    url: str
    text: str
    group: str = ""
    values: Differing | None = None

    def __str__(self) -> str:
        place = f"/{self.group}" if self.group else ""
        return ": ".join(filter(None, [self.url, place, self.text]))


@dataclass
class Report:
    """What verification found; without ``failures`` the store is right.

    ``sources``: files in the store, ``compared`` of them and ``values`` in these. ``native`` and
    ``dropped`` give the reason for each variable that is copied, or left out, by path.
    """

    sources: int = 0
    compared: int = 0
    values: int = 0
    virtual: list[str] = field(default_factory=list)
    native: dict[str, str] = field(default_factory=dict)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether the store reads as its sources do."""
        return not self.failures

    def _repr_html_(self) -> str:
        from vzarr.pages.render import fragment

        rows: list[tuple[str, object]] = [("result", "passed" if self.passed else "FAILED")]
        rows.append(
            ("compared", f"{self.values:,} values of {self.compared} of {self.sources} files")
        )
        rows += [("failed", str(failure)) for failure in self.failures[:SHOWN]]
        if len(self.failures) > SHOWN:
            rows.append(("", f"and {len(self.failures) - SHOWN} more"))
        rows += [("stored natively", f"{name}: {why}") for name, why in sorted(self.native.items())]
        return fragment("verification", rows)

    def as_json(self) -> dict[str, Any]:
        """For a program; failures as sentences."""
        return {"passed": self.passed, **asdict(self), "failures": [*map(str, self.failures)]}
