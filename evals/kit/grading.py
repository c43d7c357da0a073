"""A grade: named checks of what was left behind, and whether wrong values were shipped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Check:
    """``silent``: where it fails, somebody reads wrong numbers and is not told."""

    name: str
    passed: bool
    detail: str = ""
    silent: bool = False


@dataclass
class Grade:
    """The checks of one workspace, in order; ``told`` what the agent said could not be done."""

    checks: list[Check] = field(default_factory=list)
    told: str = ""

    def check(self, name: str, passed: Any, detail: object = "", silent: bool = False) -> bool:
        """Note a check; returns whether it passed."""
        ok = bool(passed)
        self.checks.append(Check(name, ok, "" if ok else str(detail)[:400], silent))
        return ok

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed."""
        return [check.name for check in self.checks if not check.passed]

    @property
    def silent_fault(self) -> bool:
        return any(check.silent and not check.passed for check in self.checks)

    @property
    def outcome(self) -> str:
        if self.passed:
            return "passed"
        return "wrong values shipped" if self.silent_fault else "incomplete, refused or told"

    def as_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "passed": self.passed,
            "silent_fault": self.silent_fault,
            "failed": self.failed,
            "told": self.told,
            "checks": [vars(check) for check in self.checks],
        }
