"""``skills/virtual-zarr/`` is the copy that ``tools/bundle.py`` makes, and works by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import bundle
import pytest
import skills_ref
from harness.links import broken_links

ROOT = Path(__file__).parents[2]
COPY = ROOT / bundle.FOLDER
DOCUMENTS = sorted(COPY.rglob("*.md"))


def test_copy_is_current() -> None:
    assert bundle.differences(ROOT) == [], "run: uvx nox -s bundle"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Sources and a fresh copy of them, to be spoilt."""
    for name in bundle.FILES:
        shutil.copy(ROOT / name, tmp_path)
    for name in bundle.FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name)
    bundle.write(tmp_path)
    assert bundle.differences(tmp_path) == []
    return tmp_path


def test_stale_copy_is_seen(checkout: Path) -> None:
    with (checkout / "examples.md").open("a") as file:
        file.write("One more line.\n")
    assert bundle.differences(checkout) == ["examples.md: stale"]


def test_edited_missing_and_foreign_copies_are_seen(checkout: Path) -> None:
    copy = checkout / bundle.FOLDER
    (copy / "SKILL.md").write_text("edited")
    (copy / "troubleshooting.md").unlink()
    (copy / "notes.md").write_text("added by hand")
    (copy / "examples.md").unlink()
    (copy / "examples.md").symlink_to(checkout / "examples.md")
    (copy / "scripts" / "virtual_zarr.py").chmod(
        0o644 if bundle.executable(copy / "scripts" / "virtual_zarr.py") else 0o755
    )
    assert sorted(bundle.differences(checkout)) == [
        "SKILL.md: stale",
        "examples.md: a symbolic link",
        "notes.md: not in the sources",
        "scripts/virtual_zarr.py: executable bit differs",
        "troubleshooting.md: missing",
    ]


def test_check_exits_with_one(checkout: Path) -> None:
    (checkout / bundle.FOLDER / "SKILL.md").write_text("edited")
    command = [sys.executable, ROOT / "tools" / "bundle.py", "--check", "--root", checkout]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "skills/virtual-zarr/SKILL.md: stale" in done.stderr


def test_symbolic_links_are_refused(checkout: Path) -> None:
    (checkout / "references" / "link.md").symlink_to(checkout / "examples.md")
    with pytest.raises(bundle.BundleError, match=r"references/link\.md: a symbolic link"):
        bundle.write(checkout)


def test_names_that_differ_only_in_case_are_refused(checkout: Path) -> None:
    (checkout / "references" / "Storage.md").write_text("")
    if not (checkout / "references" / "storage.md").read_text():
        pytest.fail("this file system ignores case")
    with pytest.raises(bundle.BundleError, match="only in case"):
        bundle.write(checkout)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[skill.md](skill.md#build)", "[SKILL.md](SKILL.md#build)"),
        ("[the recipe](skill.md)", "[the recipe](SKILL.md)"),
        ("[here](#build) [site](https://example.org/skill.md)", None),
        ("[storage](references/storage.md)", None),
        ("[folder](references/)", None),
        ("[`tests`](tests/README.md) stay", "`tests` stay"),
        ("```python\nx[a](skill.md)\n```\n", None),
    ],
)
def test_links_are_rewritten(before: str, after: str | None) -> None:
    paths = {"SKILL.md", "references/storage.md"}
    assert bundle.rewrite_links(before, "examples.md", paths) == (after or before)


def test_links_of_a_reference_are_rewritten() -> None:
    text = "[a](../skill.md) [b](storage.md) [c](../README.md)"
    rewritten = bundle.rewrite_links(text, "references/b.md", {"SKILL.md", "references/storage.md"})
    assert rewritten == "[a](../SKILL.md) [b](storage.md) c"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(COPY).as_posix())
def test_links_of_the_copy_resolve_inside_it(path: Path) -> None:
    assert broken_links(path, COPY) == []


def test_copy_follows_the_specification() -> None:
    assert skills_ref.validate(COPY) == []


def test_top_level_skill_is_hidden_and_the_copy_is_not() -> None:
    """``internal`` keeps a case-ignoring system from taking the repository for the skill."""
    assert bundle.INTERNAL in (ROOT / "skill.md").read_text()
    assert "internal:" not in (COPY / "SKILL.md").read_text()


def test_both_spellings_never_meet_in_one_folder() -> None:
    for folder in [ROOT, *(path for path in (ROOT / "skills").rglob("*") if path.is_dir())]:
        names = [path.name.lower() for path in folder.iterdir()]
        assert len(names) == len(set(names)), folder


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((COPY / "scripts").glob("*.py")) if "__main__" in path.read_text()],
    ids=lambda path: path.name,
)
def test_scripts_of_the_copy_start(path: Path, tmp_path: Path) -> None:
    shutil.copytree(COPY, tmp_path / bundle.NAME)
    script = tmp_path / bundle.NAME / path.relative_to(COPY)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, script, "--help"],
        cwd=tmp_path,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "usage: " in done.stdout
