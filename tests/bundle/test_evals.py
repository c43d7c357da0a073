"""Trigger prompts and the index for AGENTS.md, as far as they can be checked without a model."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import bundle
import yaml
from harness.links import anchors

ROOT = Path(__file__).parents[2]
COPY = ROOT / bundle.FOLDER
TRIGGERS = json.loads((ROOT / "evals" / "triggers.json").read_text())
INDEX = (ROOT / "evals" / "agents-index.md").read_text()


def test_triggers_are_twenty_and_twenty() -> None:
    assert TRIGGERS["skill_name"] == bundle.NAME
    entries = TRIGGERS["triggers"]
    assert Counter(entry["should_trigger"] for entry in entries) == {True: 20, False: 20}
    assert len({entry["id"] for entry in entries}) == len({e["query"] for e in entries}) == 40


def test_description_is_a_valid_one() -> None:
    """Of the specification, and of ``quick_validate`` (no angle brackets)."""
    front = yaml.safe_load((COPY / "SKILL.md").read_text().split("---")[1])
    description = front["description"]
    assert len(description) <= 1024
    assert not set("<>") & set(description)


def test_index_has_twenty_lines_and_points_at_what_is_there() -> None:
    assert len(INDEX.splitlines()) <= 24
    targets = re.findall(r"([\w./-]+\.md)(#[\w-]+)?", INDEX)
    assert len(targets) > 8
    for file, anchor in targets:
        path = COPY / file.removeprefix(".agents/skills/virtual-zarr/").removeprefix(
            ".claude/skills/virtual-zarr/"
        )
        assert path.exists(), file
        assert not anchor or anchor[1:] in anchors(path), anchor
    for script in re.findall(r"scripts/\w+\.py", INDEX):
        assert (COPY / script).exists()
