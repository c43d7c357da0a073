"""``skill.md`` as a skill: specification, budget, the versions it names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import skills_ref

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skill.md"
CHARACTERS_PER_TOKEN = 3.9
"""Of ``skill.md`` under the tokenizer cl100k_base, measured on 2026-11-24."""


def test_skill_follows_the_specification(tmp_path: Path) -> None:
    folder = tmp_path / "virtual-zarr"
    folder.mkdir()
    shutil.copy(SKILL, folder / "SKILL.md")
    assert skills_ref.validate(folder) == []


def test_skill_fits_its_budget() -> None:
    text = SKILL.read_text()
    assert len(text.splitlines()) < 400
    assert len(text) / CHARACTERS_PER_TOKEN < 5000


@pytest.mark.parametrize("name", ["skill.md", "README.md"])
@pytest.mark.parametrize(
    "package", ["virtualizarr", "icechunk", "xarray", "zarr", "obstore", "obspec-utils"]
)
def test_documents_name_the_locked_versions(name: str, package: str) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    (locked,) = re.findall(rf"^{package}(?:\[.*\])?==(\S+)", lock, flags=re.MULTILINE)
    named = re.findall(rf"\b{package} (\d[\w.]*\w)", (ROOT / name).read_text())
    assert set(named) == {locked}
