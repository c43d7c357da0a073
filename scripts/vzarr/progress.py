"""How long work is reported."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], Callable[[int, int], None]]
"""Takes a phase's name and gives the callback for it."""


def silent(phase: str) -> Callable[[int, int], None]:
    """Report nothing."""
    return lambda done, total: None
