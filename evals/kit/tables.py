"""Results as a table in Markdown: a row for each task and arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from statistics import median
from typing import Any

COLUMNS = {
    "commands": "commands",
    "failed": "failed",
    "wrong_guesses": "wrong guesses",
    "lines": "lines",
    "inline_lines": "lines inline",
    "seconds": "seconds",
    "output_tokens": "tokens out",
}
"""Keys of a record and headings: medians of the runs."""


def table(records: Iterable[dict[str, Any]]) -> str:
    """``records`` as ``run.py grade`` writes them; the last rows are over all tasks."""
    groups = _groups(records)
    lines = [
        f"| task | arm | protocol | passed | wrong shipped | {' | '.join(COLUMNS.values())} |",
        f"|---|---|---|---|---|{'---|' * len(COLUMNS)}",
    ]
    for task, arm, protocol in sorted(groups, key=lambda key: (key[0] == "all", *key)):
        rows = groups[task, arm, protocol]
        passed = sum(row["grade"]["passed"] for row in rows)
        silent = sum(row["grade"]["silent_fault"] for row in rows)
        cells = [task, arm, protocol, f"{passed} of {len(rows)}", str(silent)]
        cells += [_median(row.get(key) for row in rows) for key in COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _groups(
    records: Iterable[dict[str, Any]],
) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """Records by task, arm and protocol; those of all tasks, too."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        arm, protocol = record["arm"], record.get("protocol", "free")
        groups[record["task"], arm, protocol].append(record)
        groups["all", arm, protocol].append(record)
    return groups


def _median(values: Iterable[Any]) -> str:
    there = [value for value in values if value is not None]
    return f"{median(there):g}" if there else "-"


def comparison(old: Iterable[dict[str, Any]], new: Iterable[dict[str, Any]]) -> str:
    """What changed from ``old`` to ``new`` records: a row for each task and arm that is in both."""
    before, after = _groups(old), _groups(new)
    headings = ["passed", "wrong shipped", "commands", "lines", "wrong guesses"]
    lines = [f"| task | arm | protocol | {' | '.join(headings)} |", f"|{'---|' * 8}"]
    for key in sorted(before.keys() & after.keys(), key=lambda key: (key[0] == "all", *key)):
        pairs = zip(_summary(before[key]), _summary(after[key]), strict=True)
        cells = [*key, *(one if one == other else f"{one} → {other}" for one, other in pairs)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    passed = sum(row["grade"]["passed"] for row in rows)
    silent = sum(row["grade"]["silent_fault"] for row in rows)
    medians = [
        _median(row.get(key) for row in rows) for key in ("commands", "lines", "wrong_guesses")
    ]
    return [f"{passed} of {len(rows)}", str(silent), *medians]
