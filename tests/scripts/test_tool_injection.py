"""Every silent trap: written behind the tool's back ``verify`` fails; ``build`` never makes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from vzarr.storage import Access
from vzarr.verify import verify_named, verify_repository
from wrong_stores import TRAPS, inject


@pytest.fixture(autouse=True)
def place(tmp_path: Path) -> Path:
    (folder := tmp_path / "here").mkdir()
    return folder


@pytest.mark.parametrize("name", TRAPS)
def test_verify_finds_what_was_written_wrong(name: str, place: Path) -> None:
    """By the commit's metadata, and beside named files as for a store that a user wrote."""
    case = TRAPS[name](place)
    repository = str(inject(case, place))
    reports = {
        "metadata": verify_repository(repository, Access(), sample=None),
        "named": verify_named(
            repository, [str(file) for file in case.files], Access(), sample=None
        ),
    }
    for kind, report in reports.items():
        assert not report.passed, kind
        wanted = [
            failure
            for failure in report.failures
            if re.search(rf"\b{case.variable}\b", failure) and case.file in failure
        ]
        print(wanted)
        assert wanted, (kind, report.failures)
