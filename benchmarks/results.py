"""The figures of a run as data: written by ``--json``, read for pictures and for quotations.

``python -m benchmarks.results TEXT JSON`` makes the same of the text that a run printed.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measuring import Cell, Table

FOLDER = Path(__file__).parent / "results"
"""Runs that are committed; the newest is the one that the Markdown quotes."""


@dataclass(frozen=True)
class Run:
    """One run. ``packages`` and the machine in words; tables by their titles, over all topics."""

    packages: str
    tables: dict[str, list[dict[str, Cell]]]

    def row(self, title: str, **chosen: Cell) -> dict[str, Cell]:
        """The row of a table in which columns (``_`` for a space) have these values.

        Raises
        ------
        LookupError
            Unless there is exactly one.
        """
        wanted = {name.replace("_", " "): value for name, value in chosen.items()}
        rows = [row for row in self.tables[title] if wanted.items() <= row.items()]
        if len(rows) != 1:
            raise LookupError(f"{title}: {len(rows)} rows have {wanted}")
        return rows[0]


def newest() -> Path:
    """The run that is quoted."""
    return max(FOLDER.glob("*.json"))


def load(path: Path | None = None) -> Run:
    """A run as it was written."""
    data = json.loads((path or newest()).read_text())
    tables = [table for topic in data["topics"].values() for table in topic["tables"]]
    return Run(data["packages"], {table["title"]: table["rows"] for table in tables})


def as_json(
    packages: str, topics: dict[str, tuple[float, list[Table]]], before: Path | None = None
) -> str:
    """A run as text: seconds and tables of each topic.

    ``before``: an earlier run, whose other topics stay if it was with the same packages and Python.
    """
    told: dict[str, Any] = {}
    if before is not None and before.exists():
        earlier = json.loads(before.read_text())
        if earlier["packages"] == packages:
            told = earlier["topics"]
    told |= {
        topic: {"seconds": round(seconds), "tables": [_table(each) for each in tables]}
        for topic, (seconds, tables) in topics.items()
    }
    return json.dumps({"packages": packages, "topics": told}, indent=1, ensure_ascii=False) + "\n"


def _table(table: Table) -> dict[str, Any]:
    floors = [str(floor) for floor in table.floors]
    return {"title": table.title, "setting": table.setting, "rows": table.rows, "floors": floors}


def from_text(text: str) -> str:
    """What ``as_json`` gives, of the text of a run: with the digits that it shows.

    Raises
    ------
    ValueError
        If there is no table in it.
    """
    head, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    packages = head.removeprefix("# Benchmarks").strip()
    topics: dict[str, Any] = {}
    tables: list[dict[str, Any]] = []
    for part in parts:
        tables.append(_parsed(part))
        if ended := re.search(r"^(\w+): (\d+) s\.$", part, re.MULTILINE):
            topics[ended[1]] = {"seconds": int(ended[2]), "tables": tables}
            tables = []
    if not topics:
        raise ValueError("no topic of a run is in this text")
    return json.dumps({"packages": packages, "topics": topics}, indent=1, ensure_ascii=False) + "\n"


def _parsed(part: str) -> dict[str, Any]:
    title, _, rest = part.partition("\n")
    before, *lines = re.split(r"^\| ", rest, flags=re.MULTILINE)
    names, *rows = [line.split("\n")[0].removesuffix("|").split(" | ") for line in lines]
    names = [name.rstrip() for name in names]
    # Two columns may have one name but for a space at its end, which the last of them has lost.
    names = [name if name not in names[:at] else f"{name} " for at, name in enumerate(names)]
    return {
        "title": title,
        "setting": before.strip(),
        "rows": [dict(zip(names, map(_cell, row), strict=True)) for row in rows],
        "floors": re.findall(r"^- (.*)$", rest, re.MULTILINE),
    }


def _cell(text: str) -> Cell:
    text = text.strip()
    number = text.replace(",", "")
    if re.fullmatch(r"-?\d+", number):
        return int(number)
    return float(number) if re.fullmatch(r"-?\d+\.?\d*(e-?\d+)?", number) else text


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(from_text(source.read_text()))
