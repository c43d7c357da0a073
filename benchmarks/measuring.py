"""Time cases in turns, in this process or each in one of its own, and lay them out as a table."""

from __future__ import annotations

import gc
import math
import multiprocessing
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Cell = str | int | float


@dataclass(frozen=True)
class Floor:
    """A ratio that must hold: ``measured`` at most, or at least, ``limit``.

    ``why`` tells of one that cannot be reached what stands in the way; it is shown, and fails
    nothing.
    """

    what: str
    measured: float
    limit: float
    at_least: bool = False
    why: str = ""

    @property
    def holds(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        sign = "at least" if self.at_least else "at most"
        answer = "holds" if self.holds else f"DOES NOT HOLD{self.why and ': '}{self.why}"
        return f"{self.what}: {self.measured:.2f} ({sign} {self.limit:g}): {answer}"


@dataclass
class Table:
    """One comparison. ``rows`` all have the same keys, which are the columns."""

    title: str
    setting: str
    rows: list[dict[str, Cell]] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)

    def as_markdown(self) -> str:
        columns = list(self.rows[0])
        lines = [
            f"## {self.title}",
            "",
            self.setting,
            "",
            "| " + " | ".join(columns) + " |",
            "|" + "---|" * len(columns),
            *("| " + " | ".join(show(row[name]) for name in columns) + " |" for row in self.rows),
        ]
        if self.floors:
            lines += ["", *(f"- {floor}" for floor in self.floors)]
        return "\n".join(lines) + "\n"


def show(cell: Cell) -> str:
    """Three digits of a measured number; integers with separators."""
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


@dataclass(frozen=True)
class Measured:
    """Median, seconds of each round, and the last value that the case returned."""

    seconds: float
    rounds: tuple[float, ...]
    value: Any = None
    peak_bytes: int = 0


def in_turns(
    cases: dict[str, Callable[[], Any]], rounds: int = 3, patience: float = math.inf
) -> dict[str, Measured]:
    """Run every case once a round, so that what else the machine does hits all of them alike.

    A case that took more than ``patience`` seconds is not run again.
    """
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    values: dict[str, Any] = {}
    for _ in range(rounds):
        for name, case in cases.items():
            if any(taken > patience for taken in seconds[name]):
                continue
            gc.collect()
            start = time.perf_counter()
            values[name] = case()
            seconds[name].append(time.perf_counter() - start)
    return {
        name: Measured(statistics.median(taken), tuple(taken), values[name])
        for name, taken in seconds.items()
    }


def apart(function: Callable[..., Any], *arguments: Any, limit: float | None = None) -> Measured:
    """Run a module's function in a new process: its seconds, value, and peak memory in bytes.

    The peak is of the whole process, without what imports had taken before the call. After
    ``limit`` seconds the process is killed.

    Raises
    ------
    TimeoutError
        After ``limit`` seconds.
    RuntimeError
        If the process ends without a value.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(sending, function, arguments))
    process.start()
    sending.close()
    try:
        if not receiving.poll(limit):
            process.kill()
            process.join()
            raise TimeoutError(f"{function.__name__} took more than {limit:g} s")
        seconds, value, peak = receiving.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"{function.__name__} ended with status {process.exitcode}") from None
    process.join()
    return Measured(seconds, (seconds,), value, peak)


def here(function: Callable[..., Any], *arguments: Any) -> Measured:
    """As ``apart``, in this process: for cases too small to tell a peak of their own."""
    start = time.perf_counter()
    value = function(*arguments)
    seconds = time.perf_counter() - start
    return Measured(seconds, (seconds,), value)


def _report(sending, function: Callable[..., Any], arguments: Sequence[Any]) -> None:
    before = _peak()
    start = time.perf_counter()
    value = function(*arguments)
    seconds = time.perf_counter() - start
    sending.send((seconds, value, _peak() - before))


def _peak() -> int:
    """Bytes. Not ``ru_maxrss`` on Linux, which a new process has from the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def grows_like(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """The exponent k of n^k between the first and the last size."""
    return math.log(seconds[-1] / seconds[0]) / math.log(sizes[-1] / sizes[0])
