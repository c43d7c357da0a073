"""Which trap a block of ``references/traps-*.md`` belongs to, and what its failure means.

The first block of a trap asserts today's wrong result, the others the right way. So a failing first
block is news of a release, which a bare assertion would not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import pytest

from harness.blocks import Block, read_fences

HEADING = re.compile(r"^### (T\d+): (.+)$")
PACKAGES = ("virtualizarr", "icechunk", "xarray", "zarr")


@dataclass(frozen=True)
class Trap:
    """``shows_wrong``: the block is the one that asserts the wrong result."""

    name: str
    title: str
    shows_wrong: bool


def trap_of(block: Block) -> Trap | None:
    """The trap under whose heading a block stands; None for set-up and other documents."""
    lines = block.fence.path.read_text().splitlines()
    for start in range(block.fence.line - 1, -1, -1):
        if lines[start].startswith(("# ", "## ")):
            return None
        if heading := HEADING.match(lines[start]):
            below = [
                fence.line
                for fence in read_fences(block.fence.path)
                if fence.language == "python" and fence.line > start
            ]
            return Trap(heading[1], heading[2], block.fence.line == below[0])
    return None


@contextmanager
def watched(block: Block) -> Iterator[None]:
    """Tell of a failing block which trap it is, where, with which versions, and what to do."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        trap = trap_of(block)
        if trap is None:
            raise
        versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
        news = (
            "does not show its wrong result any more: fixed upstream, or changed. If it is fixed, "
            'move it to "Fixed upstream"; if not, say what you get now'
            if trap.shows_wrong
            else "has a way round that does not work any more: mend the block"
        )
        reason = f"{type(error).__name__}: {error}"
        pytest.fail(
            f"trap {trap.name} ({trap.title}), {block.fence.where}, with {versions}: {news}.\n"
            f"{reason}",
            pytrace=False,
        )
