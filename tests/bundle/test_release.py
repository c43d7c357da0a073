"""What a tag publishes."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import release
from harness.installed import ROOT, check_skill, make_checkout

VERSION = "0.1.0"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = make_checkout(tmp_path / "checkout")
    (folder / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} (a day)\n\n- First.\n")
    return folder


def run(checkout: Path, version: str = VERSION) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / "release.py", version, "--root", checkout]
    output = ["--output", checkout.parent / "dist"]
    return subprocess.run([*command, *output], capture_output=True, text=True)


def test_release_is_the_skill_and_its_notes(checkout: Path, tmp_path: Path) -> None:
    assert run(checkout).returncode == 0
    assert (tmp_path / "dist" / "notes.md").read_text() == "- First.\n"
    with zipfile.ZipFile(tmp_path / "dist" / "virtual-zarr.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    check_skill(tmp_path / "unpacked" / "virtual-zarr", tmp_path)


def test_wrong_version_and_stale_copy_are_refused(checkout: Path) -> None:
    assert "pyproject.toml says" in run(checkout, "9.9.9").stderr
    (checkout / "skills" / "virtual-zarr" / "SKILL.md").write_text("old")
    assert "stale copy: SKILL.md: stale" in run(checkout).stderr


def test_notes_are_those_of_the_version() -> None:
    text = "# Changelog\n\n## Unreleased\n\n- C\n\n## 0.1.10\n\n- B\n\n## v0.1.1, a day\n\n- A\n"
    assert release.notes(text, "0.1.1") == "- A\n"
    with pytest.raises(SystemExit, match=r"no section 0\.2"):
        release.notes(text, "0.2")
