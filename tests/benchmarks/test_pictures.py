"""Pictures, and figures in the Markdown, are of the run that is committed."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import browser

# ``benchmarks`` lies beside ``tests``.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import __main__ as command
from benchmarks import pictures, quotations, results, share
from benchmarks.drawing import WIDTH
from benchmarks.measuring import Floor, Table, show

NAMES = [f"{name}.svg" for name in pictures.PICTURES]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def run() -> results.Run:
    return results.load()


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.running() as running:
        yield running


def references() -> str:
    return "\n".join(p.read_text() for p in quotations.REFERENCES.glob(quotations.FILES))


def test_pictures_are_of_the_committed_run(run: results.Run) -> None:
    there = {path.name: path.read_text() for path in pictures.FOLDER.glob("*.svg")}
    assert there == pictures.draw(run), "python -m benchmarks.pictures draws them anew"
    assert pictures.main(["--check"]) == 0


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_a_picture_are_those_of_the_run(name: str, run: results.Run) -> None:
    """In words and at marks: of another run the picture is another one."""
    picture = ET.fromstring((pictures.FOLDER / name).read_text())
    told = " ".join(picture.itertext())
    cells = [cell for rows in run.tables.values() for row in rows for cell in row.values()]
    numbers = {show(cell) for cell in cells} | {
        str(round(c)) for c in cells if isinstance(c, float)
    }
    tables = {title: [*map(dict, rows)] for title, rows in run.tables.items()}
    for rows in tables.values():
        for row in rows:
            row |= {k: v * 1.5 for k, v in row.items() if isinstance(v, float)}
            row |= {k: "12.3%" for k, v in row.items() if str(v).endswith("%")}
    other = pictures.draw(replace(run, tables=tables))[name]
    assert other != (pictures.FOLDER / name).read_text()
    found = re.findall(r"(?<![\d.])\d+(?:\.\d+)? (?:kB|MB)(?!/)", told)
    assert all(text.split()[0] in numbers for text in found)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dark", [False, True])
def test_pictures_are_seen_whole(
    name: str, dark: bool, chromium: browser.Browser, tmp_path: Path
) -> None:
    """No text leaves the picture, lies on another one, or has the colour of the ground."""
    file = tmp_path / "picture.html"
    file.write_text(f"<body style='margin: 0'>{(pictures.FOLDER / name).read_text()}</body>")
    boxes = """
        [...document.querySelectorAll('svg text')].map(e => {
            const box = e.getBBox();
            return [e.textContent, box.x, box.y, box.x + box.width, box.y + box.height,
                    getComputedStyle(e).fill];
        })
    """
    with chromium.page(file, WIDTH, dark=dark) as page:
        assert page.problems() == []
        assert page.requests() == [file.as_uri()]
        texts = page.ask(boxes)
        height = page.ask("document.querySelector('svg').viewBox.baseVal.height")
        ground = page.ask("getComputedStyle(document.querySelector('.back')).fill")
    assert len(texts) > 8
    for at, (text, left, top, right, bottom, fill) in enumerate(texts):
        assert left >= 0, text
        assert top >= 0, text
        assert right <= WIDTH, text
        assert bottom <= height, text
        assert fill != ground, text
        for other, x, y, x_end, y_end, _ in texts[:at]:
            apart = right <= x or x_end <= left or bottom - 5 <= y or y_end - 5 <= top
            assert apart, (text, other)
    assert ground == ("rgb(20, 24, 29)" if dark else "rgb(255, 255, 255)")


def test_figures_in_the_markdown_are_of_the_committed_run(run: results.Run) -> None:
    absent = quotations.missing(run, references())
    assert absent == [], "python -m benchmarks.quotations writes them anew"


def test_every_measured_cell_is_a_quotation() -> None:
    assert list(quotations.unexplained(references())) == []


def test_quotations_are_written_anew(run: results.Run) -> None:
    """Of another run: all figures change, no word does, and lines stay where they are broken."""
    tables = {
        title: [{k: v * 1.5 if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        for title, rows in run.tables.items()
    }
    other = replace(run, tables=tables)
    text = references()
    assert quotations.missing(other, text) != []
    fresh = quotations.written_anew(other, text)
    assert quotations.missing(other, fresh) == []
    assert re.sub(r"[\d.,]+", "0", fresh) == re.sub(r"[\d.,]+", "0", text)
    assert quotations.written_anew(run, fresh) == quotations.written_anew(run, text)


def test_a_measured_cell_that_nobody_measured() -> None:
    text = "| Do | Measured |\n|---|---|\n| this | 3 times faster |\n\n| Do | Other |\n| it | 5 |\n"
    assert list(quotations.unexplained(text)) == ["3 times faster"]


def test_a_run_as_data_and_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both say the same, with the digits that the text shows."""
    data, text = tmp_path / "run.json", tmp_path / "run.md"
    assert command.main(["share", "--small", "--json", str(data), "--output", str(text)]) == 0
    capsys.readouterr()
    written, parsed = json.loads(data.read_text()), json.loads(results.from_text(text.read_text()))
    assert written["packages"] == parsed["packages"]
    for told, read in zip(
        written["topics"]["share"]["tables"], parsed["topics"]["share"]["tables"], strict=True
    ):
        assert (told["title"], told["setting"]) == (read["title"], read["setting"])
        assert told["floors"] == read["floors"]
        shown = [[show(cell) for cell in row.values()] for row in told["rows"]]
        assert shown == [[show(cell) for cell in row.values()] for row in read["rows"]]
    run = results.load(data)
    assert pictures.share(run).as_svg().startswith("<svg")
    assert list(run.tables) == [table.title for table in share.tables(tmp_path, small=True)]


def test_cells_of_every_kind() -> None:
    row: dict[str, str | int | float] = {"a b": "words, 2", "c": 1_234_567, "d": 0.00123, "d ": ""}
    table = Table("Title: of it", "A setting.", [row], [Floor("what", 1.0, 2.0)])
    text = f"# Benchmarks\n\npackages.\n\n{table.as_markdown()}\ntopic: 3 s.\n\n3 s in all.\n"
    assert results.from_text(text) == results.as_json("packages.", {"topic": (3.2, [table])})
    with pytest.raises(ValueError, match="no topic"):
        results.from_text("nothing")


def test_a_topic_replaces_its_tables_only(tmp_path: Path) -> None:
    file = tmp_path / "run.json"

    def write(packages: str, topic: str, value: int) -> dict[str, Any]:
        table = Table(topic, "A setting.", [{"a": value}], [])
        file.write_text(results.as_json(packages, {topic: (1.0, [table])}, file))
        topics = json.loads(file.read_text())["topics"]
        return {name: each["tables"][0]["rows"][0]["a"] for name, each in topics.items()}

    assert write("packages", "one", 1) == {"one": 1}
    assert write("packages", "two", 2) == {"one": 1, "two": 2}
    assert write("packages", "one", 3) == {"one": 3, "two": 2}
    assert write("other packages", "two", 4) == {"two": 4}
