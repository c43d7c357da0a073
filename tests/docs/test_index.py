"""``references/index.md``: it is current, every row is followed, its commands are run.

Rows are read from the file and looked up with Markdown's own parser, apart from ``tools/index.py``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import index
import pytest
from harness.blocks import bundle_documents, read_chains, read_fences
from harness.links import anchors
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGE = ROOT / index.INDEX
QUESTIONS = json.loads((ROOT / "evals" / "questions.json").read_text())["questions"]
_LINK = r"\[(?P<title>[^\]]+)\]\((?P<file>[^()#]+)#(?P<anchor>[^()]+)\)"
ROW = re.compile(rf"^- (?P<words>.+): {_LINK}$")


def rows(heading: str) -> list[re.Match[str]]:
    part = PAGE.read_text().partition(f"\n## {heading}\n\n")[2].partition("\n\n## ")[0]
    found = [ROW.match(line) for line in part.splitlines()]
    assert found
    assert all(found), [line for line, row in zip(part.splitlines(), found, strict=True) if not row]
    return found


ERRORS, SYMPTOMS, TASKS = map(rows, ("By error text", "By symptom", "By task"))


def quoted_in(path: Path, anchor: str) -> list[str]:
    """What the ``text`` fences of one section quote, up to the next heading of its level."""
    tokens = MarkdownIt("commonmark").parse(path.read_text())
    headings = [
        (token.map[0], int(token.tag[1]), after.content)
        for token, after in pairwise(tokens)
        if token.type == "heading_open"
    ]
    slugs = list(ordered_anchors([title for _, _, title in headings]))
    start, level, _ = headings[slugs.index(anchor)]
    end = next((line for line, other, _ in headings if line > start and other <= level), None)
    return [
        token.content
        for token in tokens
        if token.type == "fence"
        and token.info == "text"
        and start < token.map[0]
        and (end is None or token.map[0] < end)
    ]


def ordered_anchors(titles: list[str]) -> list[str]:
    taken: set[str] = set()
    return [index.anchor(title, taken) for title in titles]


def holds(message: str, shown: str) -> bool:
    """Whether what a row shows stands in a message, ``…`` for what is left out."""
    place = 0
    for part in filter(None, map(str.strip, shown.split("…"))):
        place = message.find(part, place)
        if place < 0:
            return False
    return True


def test_index_is_current() -> None:
    assert PAGE.read_text() == index.render(ROOT), "run: uvx nox -s index"


def test_stale_index_is_seen(tmp_path: Path) -> None:
    """After a heading moved, a message changed, or a row was written by hand."""
    for name in ("skill.md", "examples.md", "troubleshooting.md"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "references", tmp_path / "references")
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / index.SOURCE, tmp_path / index.SOURCE)
    command = [sys.executable, ROOT / "tools" / "index.py", "--check", "--root", tmp_path]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True)

    assert check().returncode == 0
    page = tmp_path / index.INDEX
    page.write_text(page.read_text() + "- more: [x](y.md#z)\n")
    assert check().returncode == 1
    page.write_text(PAGE.read_text())
    troubleshooting = tmp_path / "troubleshooting.md"
    text = troubleshooting.read_text()
    troubleshooting.write_text(text.replace("No Virtual Chunk Containers set", "none is set"))
    done = check()
    assert done.returncode == 1
    assert "nox -s index" in done.stderr
    troubleshooting.write_text(text.replace("### Not authorized", "### Forbidden"))
    done = check()
    assert done.returncode == 2
    assert "no heading troubleshooting.md#not-authorized" in done.stderr


@pytest.mark.parametrize("row", [*ERRORS, *SYMPTOMS, *TASKS], ids=lambda row: row["words"][:60])
def test_row_leads_to_a_section(row: re.Match[str]) -> None:
    path = (PAGE.parent / row["file"]).resolve()
    assert row["anchor"] in anchors(path)
    titles = re.findall(r"^#{1,6} (.+)$", path.read_text(), re.MULTILINE)
    bare = [re.sub(r"[`\[\]]", "", title) for title in titles]
    assert row["title"] in [*bare, *(title.partition(":")[0] for title in bare)]


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: row["words"][:60])
def test_section_quotes_the_error(row: re.Match[str]) -> None:
    path = (PAGE.parent / row["file"]).resolve()
    quoted = quoted_in(path, row["anchor"])
    assert any(holds(text, row["words"].strip("` ")) for text in quoted)


def test_every_quoted_error_has_a_row() -> None:
    """Those that blocks raise, anywhere in the bundle; ``…`` in a row is any text."""
    shown = [row["words"].strip("` ") for row in ERRORS]
    raised = [
        block.quoted_error
        for path in bundle_documents(ROOT)
        if path.name != "README.md"
        for chain in read_chains(path)
        for block in chain.blocks
        if block.raises
    ]
    assert len(raised) > 100
    missing = [text[:90] for text in raised if not any(holds(text, row) for row in shown)]
    assert missing == []


def test_rows_are_sorted_and_unique() -> None:
    for found in (ERRORS, SYMPTOMS, TASKS):
        words = [row["words"].strip("` ").lower() for row in found]
        assert words == sorted(set(words))


COMMANDS = next(fence for fence in read_fences(PAGE) if fence.language == "bash").content


@pytest.mark.parametrize("command", COMMANDS.splitlines(), ids=lambda line: line.split()[0])
def test_command_opens_what_it_says(command: str) -> None:
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    if command.startswith("grep -rnF"):
        assert any(line.startswith("./troubleshooting.md:") for line in lines)
    elif command.startswith("grep -n"):
        assert len(lines) > 3
        assert all(re.match(r"\d+:#", line) for line in lines)
    else:
        assert lines[0].startswith("### ")
        assert lines[-1].startswith("##")
        assert len(lines) > 5
        assert not any(line.startswith("##") for line in lines[1:-1])
    assert len(COMMANDS.splitlines()) == 3


def test_there_are_thirty_questions() -> None:
    assert [entry["id"] for entry in QUESTIONS] == list(range(1, 31))
    assert len({entry["question"] for entry in QUESTIONS}) == 30


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda entry: str(entry["id"]))
def test_question_has_a_section_that_the_index_names(entry: dict[str, object]) -> None:
    """Each section exists, and a row of symptoms, tasks or errors leads to one of them."""
    listed = {
        f"{(PAGE.parent / row['file']).resolve().relative_to(ROOT).as_posix()}#{row['anchor']}"
        for row in [*ERRORS, *SYMPTOMS, *TASKS]
    }
    targets = entry["answered_by"]
    for target in targets:
        file, _, anchor = target.partition("#")
        assert anchor in anchors(ROOT / file), target
    assert listed & set(targets)


WORD = re.compile(r"[a-z]{5,}")


@pytest.mark.parametrize("entry", QUESTIONS, ids=lambda entry: str(entry["id"]))
def test_question_is_in_other_words_than_the_heading(entry: dict[str, object]) -> None:
    asked = set(WORD.findall(entry["question"].lower()))
    heading = set(WORD.findall(entry["answered_by"][0].partition("#")[2]))
    assert len(asked & heading) <= len(heading) / 2
