"""``skill.md`` as a skill: specification, budget, the versions it names."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import bundle
import pytest
import skills_ref
import yaml
from harness.tokens import count_tokens

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skill.md"
CEILINGS = {
    "description": 250,
    "SKILL.md": 5000,
    "examples.md": 15500,
    "troubleshooting.md": 17000,
    "references/formats.md": 10500,
    "references/traps.md": 21000,
}
"""Tokens. A client loads the description always, the rest when it is needed."""
REFERENCE_CEILING = 10000
"""Of each other reference."""


def test_skill_follows_the_specification(tmp_path: Path) -> None:
    folder = tmp_path / "virtual-zarr"
    folder.mkdir()
    shutil.copy(SKILL, folder / "SKILL.md")
    assert skills_ref.validate(folder) == []


@pytest.fixture(scope="session")
def tokens() -> dict[str, int]:
    """Of all that is shipped as Markdown, in the order of README's table."""
    documents = {
        path: data.decode()
        for path, data in bundle.render(ROOT).items()
        if path.endswith(".md") and path != "SKILL.md"
    }
    front = yaml.safe_load(SKILL.read_text().split("---")[1])
    first = {"description": front["description"], "SKILL.md": SKILL.read_text()}
    return count_tokens({**first, **documents})


def too_long(tokens: dict[str, int]) -> dict[str, int]:
    return {
        name: count
        for name, count in tokens.items()
        if count > CEILINGS.get(name, REFERENCE_CEILING)
    }


def test_documents_fit_their_budget(
    tokens: dict[str, int], record_property: Callable[[str, object], None]
) -> None:
    record_property("tokens", tokens)
    assert too_long(tokens) == {}
    assert len(SKILL.read_text().splitlines()) < 400


def test_budget_can_be_exceeded() -> None:
    counted = count_tokens({"SKILL.md": "word " * 5001, "references/a.md": "word " * 9000})
    assert list(too_long(counted)) == ["SKILL.md"]


def test_readme_shows_the_tokens(tokens: dict[str, int]) -> None:
    """Within 5 %; every shipped document has its row."""
    rows = re.findall(
        r"^\| `?([\w./-]+)`? \| .* \| ([\d,]+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    shown = {name: int(number.replace(",", "")) for name, number in rows}
    wrong = {
        name: count
        for name, count in tokens.items()
        if abs(shown.get(name, 0) - count) > 0.05 * count
    }
    lines = [
        f"| `{name}` | … | {round(count, -2 if count > 999 else 0):,} |"
        for name, count in wrong.items()
    ]
    assert not wrong, "README's table should say:\n" + "\n".join(lines)
    assert set(shown) == set(tokens)


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
