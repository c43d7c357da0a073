"""Which of a file's own steps a store holds, where some were removed.

A record keeps ``runs`` by group, those of the file's steps that are in the store, and ``gaps``,
those that are in its axis and missing; ``gap`` of a file that is missing as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


def is_gap(record: Mapping[str, Any]) -> bool:
    """Whether all of a source's steps are missing: it was removed, and its place was left."""
    return bool(record.get("gap"))


def is_partial(record: Mapping[str, Any]) -> bool:
    """Whether some of a source's steps were removed."""
    return "runs" in record or "gaps" in record


def steps_in_store(record: Mapping[str, Any], group: str, length: int) -> np.ndarray:
    """The numbers of a file's own steps that are in the axis of a group, in its order."""
    runs = record.get("runs", {}).get(group)
    return np.arange(length) if runs is None else _numbers(runs)


def is_missing(record: Mapping[str, Any], group: str, length: int) -> np.ndarray:
    """For each step of a source in the axis of a group whether it is missing."""
    steps = steps_in_store(record, group, length)
    if is_gap(record):
        return np.ones(len(steps), bool)
    return np.isin(steps, _numbers(record.get("gaps", {}).get(group, [])))


def runs_of(numbers: Iterable[int]) -> list[list[int]]:
    """Numbers that increase as pairs: the first of a run, and the one behind its last."""
    runs: list[list[int]] = []
    for number in map(int, numbers):
        if runs and runs[-1][1] == number:
            runs[-1][1] += 1
        else:
            runs.append([number, number + 1])
    return runs


def blocks_of(sources: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """The numbers of sources that lie side by side, in the order of the store."""
    blocks: list[list[int]] = []
    for number, record in enumerate(sources):
        if "covers" in record and blocks:
            blocks[-1].append(number)
        else:
            blocks.append([number])
    return blocks


def _numbers(runs: Iterable[Iterable[int]]) -> np.ndarray:
    return np.array([n for first, stop in runs for n in range(first, stop)], int)
