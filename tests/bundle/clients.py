"""The clients themselves install the skill from a checkout, offline, into an empty home.

Not part of the suite, for their size (0.9 GB): ``uvx nox -s clients``. Nothing is asked of a model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import bundle
import pytest
from harness import npm
from harness.installed import check_skill, make_checkout

CLAUDE, CODEX, GEMINI = "2.1.331", "0.169.0", "0.61.0"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    return tmp_path / "home"


def run(home: Path, package: str, version: str, program: str, *arguments: object) -> str:
    folder = npm.install(package, version, scripts=True)
    command = next(parent for parent in folder.parents if parent.name == "node_modules")
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [command / ".bin" / program, *arguments],
        cwd=home.parent / "project",
        env={"HOME": str(home), "PATH": f"{npm.NODE.parent}:/usr/bin:/bin", "CI": "1", **quiet},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_claude_code(checkout: Path, home: Path, tmp_path: Path) -> None:
    def claude(*arguments: object) -> str:
        return run(home, "@anthropic-ai/claude-code", CLAUDE, "claude", "plugin", *arguments)

    assert "Validation passed" in claude("validate", checkout)
    claude("marketplace", "add", checkout)
    claude("install", "virtual-zarr@virtual-zarr")
    assert "Skills (1)  virtual-zarr" in claude("details", "virtual-zarr@virtual-zarr")
    (found,) = home.glob(".claude/plugins/cache/**/SKILL.md")
    check_skill(found.parent, tmp_path)


def test_codex_plugin(checkout: Path, home: Path, tmp_path: Path) -> None:
    def codex(*arguments: object) -> str:
        return run(home, "@openai/codex", CODEX, "codex", *arguments)

    codex("plugin", "marketplace", "add", checkout)
    codex("plugin", "add", "virtual-zarr@virtual-zarr")
    assert "- virtual-zarr:virtual-zarr: " in codex("debug", "prompt-input", "hello")
    (found,) = home.glob(".codex/plugins/cache/**/SKILL.md")
    check_skill(found.parent, tmp_path)


def test_codex_folder(checkout: Path, home: Path, tmp_path: Path) -> None:
    """A copy in ``.agents/skills`` reaches the model's prompt, with its whole description."""
    folder = home.parent / "project" / ".agents" / "skills" / bundle.NAME
    shutil.copytree(checkout / bundle.FOLDER, folder)
    prompt = run(home, "@openai/codex", CODEX, "codex", "debug", "prompt-input", "hello")
    assert "- virtual-zarr: " in json.dumps(json.loads(prompt))


def test_gemini(checkout: Path, home: Path, tmp_path: Path) -> None:
    def gemini(*arguments: object) -> str:
        return run(home, "@google/gemini-cli", GEMINI, "gemini", "skills", *arguments)

    gemini("install", checkout, "--path", "skills", "--consent")
    assert "virtual-zarr [Enabled]" in gemini("list")
    check_skill(home / ".gemini" / "skills" / bundle.NAME, tmp_path)
