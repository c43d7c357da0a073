"""What a comparison found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Report:
    """What verification found. ``failures`` are whole sentences; without any the store is right."""

    sources: int = 0
    compared: int = 0
    values: int = 0
    virtual: list[str] = field(default_factory=list)
    native: dict[str, str] = field(default_factory=dict)
    ways: dict[str, dict[str, Any]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, **asdict(self)}
