"""``skill.md`` as a skill: specification, budget, the versions it names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import skills_ref
import tokens
import yaml
from harness.tokens import count_tokens

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skill.md"
CEILINGS = {
    "description": 250,
    "SKILL.md": 5000,
    "examples.md": 11500,
    "troubleshooting.md": 12000,
}
"""Tokens. A client loads the description always, the rest when it is needed."""
REFERENCE_CEILING = 10000
"""Of each other document; ``test_sizes.py`` has lower ones for references."""


def test_skill_follows_the_specification(tmp_path: Path) -> None:
    folder = tmp_path / "virtual-zarr"
    folder.mkdir()
    shutil.copy(SKILL, folder / "SKILL.md")
    assert skills_ref.validate(folder) == []


@pytest.fixture(scope="session")
def counts() -> dict[str, int]:
    """Tokens of all that is shipped as Markdown, in the order of README's table."""
    return count_tokens(tokens.documents(ROOT))


def too_long(counts: dict[str, int]) -> dict[str, int]:
    return {
        name: count
        for name, count in counts.items()
        if count > CEILINGS.get(name, REFERENCE_CEILING)
    }


def test_documents_fit_their_budget(
    counts: dict[str, int], record_property: Callable[[str, object], None]
) -> None:
    record_property("tokens", counts)
    assert too_long(counts) == {}
    assert len(SKILL.read_text().splitlines()) < 400


def test_budget_can_be_exceeded() -> None:
    counted = count_tokens({"SKILL.md": "word " * 5001, "references/a.md": "word " * 9000})
    assert list(too_long(counted)) == ["SKILL.md"]


def test_readme_shows_the_tokens(counts: dict[str, int]) -> None:
    """As counted; every shipped document has its row. A stale table: ``uvx nox -s tokens``."""
    readme = (ROOT / "README.md").read_text()
    assert tokens.with_counts(readme, counts).splitlines() == readme.splitlines()


def test_stale_and_missing_rows_are_seen(counts: dict[str, int]) -> None:
    readme = tokens.with_counts((ROOT / "README.md").read_text(), counts)
    more = counts | {"SKILL.md": counts["SKILL.md"] + 1000}
    assert tokens.with_counts(readme, more) != readme
    assert tokens.with_counts(tokens.with_counts(readme, more), counts) == readme
    for other in (counts | {"references/new.md": 1}, {"SKILL.md": 1}):
        with pytest.raises(tokens.TableError):
            tokens.with_counts(readme, other)


@pytest.mark.parametrize("name", ["skill.md", "README.md"])
@pytest.mark.parametrize(
    "package", ["virtualizarr", "icechunk", "xarray", "zarr", "obstore", "obspec-utils"]
)
def test_documents_name_the_locked_versions(name: str, package: str) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    (locked,) = re.findall(rf"^{package}(?:\[.*\])?==(\S+)", lock, flags=re.MULTILINE)
    named = re.findall(rf"\b{package} (\d[\w.]*\w)", (ROOT / name).read_text())
    assert set(named) == {locked}


def test_badge_shows_the_locked_versions() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yaml").read_text())
    lock = (ROOT / "requirements.lock").read_text()
    versions = dict(re.findall(r"^(virtualizarr|icechunk)(?:\[.*\])?==(\S+)", lock, re.MULTILINE))
    expected = f"virtualizarr {versions['virtualizarr']}, icechunk {versions['icechunk']}"
    assert workflow["name"] == expected
