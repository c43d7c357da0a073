"""References stay small enough to read one at a time, and nothing that was proven goes.

An agent opens one reference, or one of its sections: both have a ceiling in tokens. Text may be
shortened and moved, so blocks, quoted errors and worlds are counted over the bundle.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from harness.blocks import bundle_documents, read_chains
from harness.tokens import count_tokens
from worlds import NO_WORLD, WORLDS
from worlds.faults import FAULTS

ROOT = Path(__file__).parents[2]
REFERENCES = sorted((ROOT / "references").glob("*.md"))
REFERENCE = 6000
"""Tokens of a reference."""
SECTION = 1200
"""Tokens from one heading of the second or third level to the next, and above the first."""
LONGER = {"index.md": 4000, "traps.md": 3300}
"""Parts of these may be longer: they are searched, or read by their first column."""
NEEDED = {"blocks": 450, "errors": 84}
"""What the bundle proved before references were divided by subject: 84 different errors, and 454
blocks, some of which proved what others do."""
OF_THE_TOOL = {
    "planetary-computer",
    "azure-wrong-key",
    "gcs-no-credentials",
    "gcs-wrong-key",
    "https-wrong-token",
    "s3-assumed-role",
}
"""Worlds that only tests of the tool enter."""


def sections(text: str) -> dict[str, str]:
    """The parts of a document by heading, fences in them left alone; the part above them first."""
    parts = {"above the first heading": ""}
    heading, in_fence = next(iter(parts)), False
    for line in text.splitlines(keepends=True):
        in_fence ^= line.startswith("```")
        if not in_fence and re.match(r"#{2,3} ", line):
            heading = f"{line.strip('# ').strip()} ({len(parts)})"
            parts[heading] = ""
        parts[heading] += line
    return parts


def too_long(texts: dict[str, str]) -> dict[str, int]:
    """What is above its ceiling, of documents by name: the whole and its parts."""
    ceilings, counted = {}, {}
    for name, text in texts.items():
        counted[name], ceilings[name] = text, REFERENCE
        for heading, part in sections(text).items():
            counted[f"{name}: {heading}"] = part
            ceilings[f"{name}: {heading}"] = LONGER.get(name, SECTION)
    counts = count_tokens(counted)
    return {name: count for name, count in counts.items() if count > ceilings[name]}


def test_references_and_their_sections_are_short() -> None:
    assert too_long({path.name: path.read_text() for path in REFERENCES}) == {}


def test_what_is_longer_is_seen() -> None:
    word = "word " * 1201
    assert set(too_long({"a.md": f"# A\n\n## B\n\n{word}", "b.md": "# B\n"})) == {"a.md: B (1)"}
    assert set(too_long({"a.md": f"{word}\n\n## B\n"})) == {"a.md: above the first heading"}
    parts = "".join(f"## {number}\n\n{'word ' * 1100}\n" for number in range(6))
    assert set(too_long({"a.md": parts})) == {"a.md"}
    assert set(too_long({"a.md": f"```bash\n## {word}\n```\n"})) == {
        "a.md: above the first heading"
    }


@pytest.mark.parametrize("path", REFERENCES, ids=lambda path: path.name)
def test_reference_says_what_it_answers(path: Path) -> None:
    """Its title, then a sentence; no heading, block or table comes before it."""
    title, _, rest = path.read_text().partition("\n\n")
    assert title.startswith("# ")
    assert re.match(r"[A-Z\[]", rest)


def beginning(error: str) -> str:
    """The type of a quoted error and how its message begins: shortened or not, it is the same."""
    kind, _, message = error.partition(": ")
    return f"{kind.rpartition('.')[2]}: {re.split('[…\n]', message)[0][:24]}"


def test_nothing_that_was_proven_is_gone() -> None:
    blocks = [
        block
        for path in bundle_documents(ROOT)
        for chain in read_chains(path)
        for block in chain.blocks
    ]
    errors = {beginning(block.quoted_error) for block in blocks if block.quoted_error}
    found = {"blocks": len(blocks), "errors": len(errors)}
    assert {name: count for name, count in found.items() if count < NEEDED[name]} == {}


def test_shortened_error_counts_once() -> None:
    long = "zarr.errors.UnknownCodecError: An implementation for codec 'a' is not available. Or"
    assert beginning(long) == beginning("UnknownCodecError: An implementation for codec…")
    assert beginning(long) != beginning("UnknownCodecError: No implementation for codec 'a'")


def test_every_world_and_fault_is_met_by_a_block() -> None:
    chains = [chain for path in bundle_documents(ROOT) for chain in read_chains(path)]
    entered = {world for chain in chains for world in chain.worlds} - {NO_WORLD}
    if "clouds" in entered:
        entered |= {"s3-keys", "gcs-public", "https"}
    assert set(WORLDS) - entered == OF_THE_TOOL
    assert set(FAULTS) == {block.fault for chain in chains for block in chain.blocks} - {None}
