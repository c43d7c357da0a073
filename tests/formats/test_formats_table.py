"""What the tables of ``references/formats*.md`` name exists."""

from __future__ import annotations

import ast
import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
import sections
import virtualizarr.parsers
from vzarr.formats.registry import FORMATS

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


def table(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of ``formats.md``, header left out."""
    text = (ROOT / "references" / "formats.md").read_text()
    part = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return lines[1:]


PARSERS = table("Parsers and packages")


def test_every_parser_of_virtualizarr_has_a_row() -> None:
    parsers = {name for name in dir(virtualizarr.parsers) if re.fullmatch(r"\w+Parser", name)}
    assert {name for name in parsers if not any(f"`{name}(" in row[1] for row in PARSERS)} == set()


@pytest.mark.parametrize("row", PARSERS, ids=lambda row: row[0])
def test_parser_of_a_row_is_made_as_it_says(row: list[str]) -> None:
    """From ``virtualizarr.parsers``, or by the import that the row gives."""
    (code,) = re.findall(r"`(.*)`", row[1])
    names = dict(vars(virtualizarr.parsers))
    if " import " in code:
        exec(code, names)
        code = f"{code.split()[-1]}()"
    assert callable(eval(code, names))
    assert re.fullmatch(r"`virtualizarr(\[[\w-]+\])?`", row[2])


def test_parsers_that_are_said_not_to_exist_do_not() -> None:
    text = (ROOT / "references" / "formats.md").read_text()
    (sentence,) = re.findall(r"There is no\s+([^.]*)\.", text)
    absent = re.findall(r"`(\w+)`", sentence)
    assert len(absent) == 4
    assert not {name for name in absent if hasattr(virtualizarr.parsers, name)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_document_is_short_enough_to_read(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 900


def rows() -> list[tuple[str, set[str]]]:
    """Of each format that has a section: the section and the extras of its parsers."""
    found = []
    for name, *_ in table("What works"):
        if link := re.match(r"\[([^]]+)\]\([\w.-]*#([\w-]+)\)", name):
            parsers = [row[2] for row in PARSERS if row[0].startswith(link[1])]
            found.append((link[2], set(re.findall(r"\[([\w-]+)\]", " ".join(parsers)))))
    return found


SECTIONS = sections.sections()


@pytest.mark.parametrize(("section", "extras"), rows(), ids=lambda value: str(value))
def test_section_of_a_row_installs_what_the_row_says(section: str, extras: set[str]) -> None:
    assert extras - {"icechunk"} <= SECTIONS[section].extras


def test_every_section_says_what_to_install_and_has_a_row() -> None:
    assert {name for name, section in SECTIONS.items() if not section.install} == set()
    assert set(SECTIONS) == {section for section, _ in rows()}


def test_nox_tries_the_tool_on_every_format_that_needs_packages() -> None:
    assignments = [
        node.value
        for node in ast.parse((ROOT / "noxfile.py").read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TOOL_SAMPLES"
    ]
    (samples,) = map(ast.literal_eval, assignments)
    assert set(samples) == {name for name, form in FORMATS.items() if form.packages}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("```python\nprint(2)\n#> 3\n```\n", "printed 2"),
        ("```python raises\nint('x')\n```\n\n```text\nValueError: no\n```\n", "raised .ValueError"),
        ("```python raises\nint('2')\n```\n\n```text\nValueError: no\n```\n", "raised ''"),
    ],
)
def test_section_that_does_something_else_fails(block: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        sections.run(sections.Section("one", Path("one.md"), block, ()))
