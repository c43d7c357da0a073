"""What the tables of ``references/formats*.md`` name exists."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
import virtualizarr.parsers

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((ROOT / "references").glob("formats*.md"))
TEXT = "\n".join(path.read_text() for path in DOCUMENTS)


def test_extras_are_those_of_the_locked_virtualizarr() -> None:
    named = {
        extra
        for extras in re.findall(r"virtualizarr\[([\w,-]+)\]", TEXT)
        for extra in extras.split(",")
    }
    assert named
    assert named <= set(metadata("virtualizarr").get_all("Provides-Extra"))


def test_every_parser_of_virtualizarr_has_a_row() -> None:
    rows = (ROOT / "references" / "formats.md").read_text()
    parsers = {name for name in dir(virtualizarr.parsers) if re.fullmatch(r"\w+Parser", name)}
    assert {name for name in parsers if f"`{name}(" not in rows} == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_document_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 900
