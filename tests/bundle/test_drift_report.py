"""The weekly report names what changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import drift_report

LOCKED = "icechunk==2.3.0 \\\n    --hash=sha256:00\nobspec-utils==0.9.0\nxarray==2026.9.0\n"
INSTALLED = "icechunk==2.4.0\nobspec_utils==0.9.0\nxarray==2026.9.0\nnew==1\n"
TESTS = """
import pytest


@pytest.mark.parametrize("case", ["skill.md:60-files"])
def test_block(case):
    pytest.fail("raised X but the Markdown quotes Y", pytrace=False)


def test_passes():
    pass
"""


def test_report_names_blocks_and_versions(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "test_blocks.py").write_text(TESTS)
    (folder / "test_tables.py").write_text("def test_form():\n    assert 'a`b' == 'c'\n")
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--junitxml=results.xml", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
    )
    text = drift_report.report((tmp_path / "results.xml").read_text(), INSTALLED, LOCKED)
    assert "| icechunk | 2.3.0 | 2.4.0 |" in text
    assert "xarray" not in text
    assert "obspec" not in text
    assert "## Blocks\n\n- `skill.md:60-files`: `raised X but the Markdown quotes Y`" in text
    assert "## Quoted errors and old forms\n\n- `test_form`: " in text
    assert "test_passes" not in text


def test_report_of_a_run_that_died() -> None:
    assert "could not be set up" in drift_report.report("<testsuites/>", "", LOCKED)
