"""Values of coordinates as text for people."""

from __future__ import annotations

from typing import Any

import numpy as np


def show(value: Any) -> str:
    """A value of a coordinate for people: times without zeros at their end."""
    if isinstance(value, np.datetime64):
        text = str(value.astype("M8[s]")) if value == value.astype("M8[s]") else str(value)
        return text.removesuffix("T00:00:00").removesuffix(":00")
    return str(value)


def show_step(step: Any) -> str:
    """A step for people: of times in the largest unit that divides it."""
    if not isinstance(step, np.timedelta64):
        return show(step)
    seconds = step / np.timedelta64(1, "s")
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"
