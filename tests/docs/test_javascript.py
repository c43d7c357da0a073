"""Fences of JavaScript: each runs on node after the Python chain above it, in the same world."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import npm
from harness.blocks import Chain, Fence, bundle_documents, read_chains, read_fences
from harness.running import run_chain
from pytest_examples import EvalExample
from worlds.proxy import Proxy

ROOT = Path(__file__).parents[2]
ICECHUNK, WASM = "@earthmover/icechunk", "@earthmover/icechunk-wasm32-wasi"
VERSION, ZARRITA = "2.2.2", "0.7.5"


def with_chains(document: Path) -> list[tuple[Fence, Chain]]:
    """Each fence of JavaScript with the last chain above it in its section."""
    chains = read_chains(document)
    pairs = []
    for fence in read_fences(document):
        if fence.language != "javascript":
            continue
        above = [
            chain
            for chain in chains
            if chain.blocks[0].fence.heading == fence.heading
            and chain.blocks[0].fence.line < fence.line
        ]
        assert above, f"{fence.where}: no Python above it in its section"
        pairs.append((fence, above[-1]))
    return pairs


PAIRS = [pair for document in bundle_documents(ROOT) for pair in with_chains(document)]


@pytest.mark.parametrize(
    ("fence", "chain"), PAIRS, ids=[f"{fence.path.name}:{fence.line}" for fence, _ in PAIRS]
)
def test_javascript_runs(
    fence: Fence,
    chain: Chain,
    eval_example: EvalExample,
    enter_world: Callable[[str], None],
    proxy: Proxy,
) -> None:
    """With the build for browsers: it is the same on every machine."""
    (world,) = chain.worlds
    enter_world(world)
    run_chain(chain, eval_example)
    more = [f"{WASM}@{VERSION}", f"zarrita@{ZARRITA}"]
    modules = npm.install(ICECHUNK, VERSION, *more, cpu="wasm32").parents[1]
    Path("node_modules").symlink_to(modules, target_is_directory=True)
    # All that node did once it is there: a loop of its threads would keep it.
    Path("block.mjs").write_text(f"{fence.content}\nprocess.exit(0);\n")
    done = subprocess.run(
        [str(npm.NODE), "--no-warnings", "block.mjs"],
        env={
            **os.environ,
            "NAPI_RS_FORCE_WASI": "1",
            "NODE_USE_ENV_PROXY": "1",
            "NODE_EXTRA_CA_CERTS": str(proxy.certificate),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^//> (.*)$", fence.content, re.MULTILINE)


def test_versions_are_named() -> None:
    """Where the document says with what it was run."""
    text = (ROOT / "references" / "reading.md").read_text()
    assert f"@earthmover/icechunk {VERSION}" in text
    assert f"zarrita {ZARRITA}" in text
