"""``evals.json`` is what ``run.py evals-json`` writes of the tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import run as evals_run
from kit import specification, tasks


def test_evals_json_is_current() -> None:
    assert specification.PATH.read_text(encoding="utf-8") == specification.text()


def test_each_eval_has_what_tools_read() -> None:
    content = json.loads(specification.PATH.read_text(encoding="utf-8"))
    assert content["skill_name"] == "virtual-zarr"
    entries = content["evals"]
    assert len(entries) == sum(not tasks.find(name).emulator for name in tasks.names()) >= 16
    assert len({entry["id"] for entry in entries}) == len(entries)
    for entry in entries:
        assert isinstance(entry["id"], int)
        assert entry["prompt"]
        assert entry["files"]
        assert len(entry["assertions"]) >= 2


def test_files_of_evals_json_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(specification, "PATH", tmp_path / "evals.json")
    assert evals_run.main(["evals-json", "--files", str(tmp_path / "evals/files")]) == 0
    for entry in json.loads((tmp_path / "evals.json").read_text())["evals"]:
        for file in entry["files"]:
            assert (tmp_path / file).exists()
