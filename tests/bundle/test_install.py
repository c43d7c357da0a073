"""What clients install from a checkout, into an empty home, is the whole skill and works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import bundle
import pytest
import yaml
from harness import npm
from harness.installed import check_skill, make_checkout

ROOT = Path(__file__).parents[2]
COPY = ROOT / bundle.FOLDER
INSTALLER = "1.7.4"
"""Of the npm package ``skills``."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def npx_skills(checkout: Path, folder: Path, *arguments: str) -> str:
    """Run ``npx skills add`` in an empty project with an empty home."""
    project, home = folder / "project", folder / "home"
    for path in (project, home):
        path.mkdir(exist_ok=True)
    program = npm.install("skills", INSTALLER) / "bin" / "cli.mjs"
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [npm.NODE, program, "add", checkout, *arguments],
        cwd=project,
        env={**environment, "CI": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_npx_skills_lists_one_skill(checkout: Path, tmp_path: Path) -> None:
    listed = npx_skills(checkout, tmp_path, "--list")
    assert "Found 1 skill" in listed
    assert "virtual-zarr" in listed


@pytest.mark.parametrize(
    ("agent", "scope", "folder"),
    [
        ("claude-code", "project", ".claude/skills"),
        ("codex", "project", ".agents/skills"),
        ("cursor", "project", ".agents/skills"),
        ("gemini-cli", "project", ".agents/skills"),
        ("github-copilot", "project", ".agents/skills"),
        ("claude-code", "home", ".claude/skills"),
    ],
)
def test_npx_skills_installs_the_whole_skill(
    checkout: Path, tmp_path: Path, agent: str, scope: str, folder: str
) -> None:
    where = ["--global"] if scope == "home" else []
    npx_skills(checkout, tmp_path, "--yes", "--agent", agent, *where)
    found = [path for path in tmp_path.glob(f"{scope}/**/SKILL.md") if path.is_file()]
    assert {path.parent.name for path in found} == {bundle.NAME}
    check_skill(tmp_path / scope / folder / bundle.NAME, tmp_path)


def test_where_names_ignore_case_the_repository_is_not_the_skill(
    checkout: Path, tmp_path: Path
) -> None:
    """There ``skill.md`` is found under the name ``SKILL.md``."""
    (checkout / "skill.md").rename(checkout / "SKILL.md")
    assert "Found 1 skill" in npx_skills(checkout, tmp_path, "--list")
    npx_skills(checkout, tmp_path, "--yes", "--agent", "codex")
    check_skill(tmp_path / "project" / ".agents" / "skills" / bundle.NAME, tmp_path)


def test_without_the_mark_the_whole_repository_would_be_taken(
    checkout: Path, tmp_path: Path
) -> None:
    """The test above sees what it is there for."""
    text = (checkout / "skill.md").read_text()
    (checkout / "skill.md").unlink()
    (checkout / "SKILL.md").write_text(text.replace(bundle.INTERNAL, ""))
    npx_skills(checkout, tmp_path, "--yes", "--agent", "codex")
    assert (tmp_path / "project/.agents/skills" / bundle.NAME / "pyproject.toml").exists()


def test_spoilt_installation_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / bundle.NAME
    shutil.copytree(COPY, folder)
    (folder / "scripts" / "vzarr" / "changes" / "build.py").unlink()
    with pytest.raises(AssertionError):
        check_skill(folder, tmp_path)


def readme_commands() -> list[str]:
    """Lines of the ``bash`` blocks of README's section on installation."""
    section = (ROOT / "README.md").read_text().partition("## Install into an agent")[2]
    section = section.partition("\n## ")[0]
    return [
        line
        for block in re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
        for line in block.splitlines()
    ]


def test_plain_copy_as_readme_says(checkout: Path, tmp_path: Path) -> None:
    (command,) = [line for line in readme_commands() if line.startswith("mkdir ")]
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=checkout,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (found,) = home.rglob("SKILL.md")
    check_skill(found.parent, tmp_path)


def test_plugin_manifests() -> None:
    """Claude Code, and Codex which reads the same files, find ``skills/`` at the plugin's root."""
    marketplace = json.loads((ROOT / ".claude-plugin" / "marketplace.json").read_text())
    plugin = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text())
    assert marketplace["owner"]["name"]
    (entry,) = marketplace["plugins"]
    assert entry["name"] == plugin["name"] == bundle.NAME
    assert entry["source"] == "./"
    assert [path.parent.name for path in (ROOT / "skills").glob("*/SKILL.md")] == [bundle.NAME]


def test_one_version_everywhere() -> None:
    """Clients update a plugin only when its version rises."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    plugin = json.loads((ROOT / ".claude-plugin" / "plugin.json").read_text())["version"]
    front = yaml.safe_load((COPY / "SKILL.md").read_text().split("---")[1])
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert {plugin, front["metadata"]["version"], citation} == {project}
