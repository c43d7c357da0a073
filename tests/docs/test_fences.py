"""What can be said of a document's fences without running them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from harness.blocks import Chain, bundle_documents, read_chains, read_fences

ROOT = Path(__file__).parents[2]
DOCUMENTS = bundle_documents(ROOT)
WITH_BLOCKS = [
    path
    for path in DOCUMENTS
    if path.name in ("README.md", "skill.md", "examples.md", "troubleshooting.md")
    or path.parent.name == "references"
]


TABLES_ONLY = {
    "api-changes-icechunk.md",
    "api-changes-kerchunk.md",
    "index.md",
    "traps.md",
}
"""Documents that lead to the blocks of others, or whose cells are executed."""


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=lambda path: path.name)
def test_every_python_fence_is_collected(path: Path) -> None:
    """Count opening fences line by line, apart from both Markdown parsers."""
    opening = re.findall(r"^ *(?:```|~~~) *\{?\.?py\w*", path.read_text(), flags=re.MULTILINE)
    blocks = [block for chain in read_chains(path) for block in chain.blocks]
    assert len(blocks) == len(opening)
    assert opening or path.name in TABLES_ONLY


def test_bundle_has_its_four_files() -> None:
    assert {"README.md", "skill.md", "examples.md", "troubleshooting.md"} <= {
        path.name for path in DOCUMENTS
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_other_fences_parse(path: Path) -> None:
    for fence in read_fences(path):
        if fence.language == "json":
            json.loads(fence.content)
        elif fence.language == "toml":
            tomllib.loads(fence.content)
        elif fence.language == "yaml":
            yaml.safe_load(fence.content)
        elif fence.language == "bash":
            check = subprocess.run(
                ["bash", "-n"], input=fence.content, text=True, capture_output=True
            )
            assert check.returncode == 0, f"{fence.where}: {check.stderr}"


def chain_modules(chain: Chain) -> list[tuple[int, str]]:
    """First line and source of each module of a chain: blocks share names, a script does not."""
    scripts = [block for block in chain.blocks if block.script]
    shared = [block for block in chain.blocks if not block.script]
    modules = [[block] for block in scripts] + ([shared] if shared else [])
    return [
        (blocks[0].fence.line, "\n\n".join(block.example.source for block in blocks))
        for blocks in modules
    ]


def test_python_blocks_are_linted_and_formatted(tmp_path: Path) -> None:
    """Ruff over every chain as one module, and over every block for its format."""
    for document in DOCUMENTS:
        for chain in read_chains(document):
            for line, source in chain_modules(chain):
                (tmp_path / f"{document.name}-line-{line}.py").write_text(source)
            for block in chain.blocks:
                file = tmp_path / "format" / f"{document.name}-line-{block.fence.line}.py"
                file.parent.mkdir(exist_ok=True)
                # Ruff would write "# >"; it leaves "#:" alone.
                file.write_text(block.example.source.replace("#> ", "#: "))
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    # A block may import where it first needs a name, and ends in an expression worth seeing.
    ignored = "--extend-ignore=E402,B018,I001,INP001"
    ruff = [sys.executable, "-m", "ruff"]
    checks = [
        [*ruff, "check", *config, ignored, "--exclude", "format", "."],
        [*ruff, "format", *config, "--diff", "format"],
    ]
    for command in checks:
        done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
