"""Every table of the benchmarks, made small: that they run, not how fast."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import pytest

# ``benchmarks`` lies beside ``tests``; the processes that it starts inherit the path.
sys.path.insert(0, str(Path(__file__).parents[2]))

TOPICS = importlib.import_module("benchmarks.__main__").TOPICS
WITH_FLOORS = {"parsing", "parallel", "combining", "writing", "appending", "operations", "reading"}


@pytest.mark.parametrize("topic", TOPICS)
def test_topic(topic: str, benchmark: Any, clean_environment: Path, tmp_path: Path) -> None:
    module = importlib.import_module(f"benchmarks.{topic}")
    folder = tmp_path / topic
    folder.mkdir()

    tables = benchmark.pedantic(lambda: list(module.tables(folder, small=True)), rounds=1)

    assert len({table.title for table in tables}) == len(tables) > 0
    for table in tables:
        assert len(table.rows) > 1
        assert all(list(row) == list(table.rows[0]) for row in table.rows)
        cells = [cell for row in table.rows for cell in row.values()]
        numbers = [cell for cell in cells if not isinstance(cell, str)]
        assert numbers
        assert all(math.isfinite(number) for number in numbers)
        assert all(floor.limit > 0 and math.isfinite(floor.measured) for floor in table.floors)
        text = table.as_markdown()
        assert text.count("\n| ") == 1 + len(table.rows)
        assert all(f"- {floor}" in text for floor in table.floors)
    if topic in WITH_FLOORS:
        assert any(table.floors for table in tables)
