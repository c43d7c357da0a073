"""Pages as a browser shows them: what was made wrong is seen where it belongs, and nothing else
is asked for.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import vzarr
from harness import browser
from vzarr.pages.style import DARK, LIGHT
from vzarr.verification.report import Report

DAYS = 100
GAP = (60, 70)
LATE, REPLACED, LACKING = 20, 30, 40
PLACES = {
    "missing": GAP,
    "late": (LATE, LATE + 1),
    "replaced": (REPLACED, REPLACED + 1),
    "lacking": (LACKING, LACKING + 2),
    "overlap": (81, 82),
    "removed": (90, 92),
}
"""The days of each lane of the store."""
WIDTHS = [(1400, False), (1400, True), (390, False), (390, True)]


def day(folder: Path, number: int, length: int = 1, lacks: bool = False, note: str = "") -> Path:
    """A file of one day or more from 2024-01-01 on, written on the day after."""
    folder.mkdir(exist_ok=True)
    path = folder / f"day_{number:03d}.nc"
    with netCDF4.Dataset(path, "w") as file:
        file.note = note
        for name, size in (("time", None), ("y", 4), ("x", 6)):
            file.createDimension(name, size)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2024-01-01"
        time[:] = number + np.arange(length)
        for name in ("rain", "a_name_that_is_longer_than_a_line_of_a_telephone_would_be")[lacks:]:
            options = {"chunksizes": (1, 2, 6), "fill_value": np.nan, "zlib": True}
            values = file.createVariable(name, "f4", ("time", "y", "x"), **options)
            values[:] = np.random.default_rng(number).normal(size=(length, 4, 6))
    moment = datetime(2024, 1, 2).timestamp() + 86400 * number
    os.utime(path, (moment, moment))
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of a store in which everything is odd that can be, and one of its files."""
    folder = tmp_path_factory.mktemp("pages")
    lengths = {80: 2, 81: 2}
    lacking = range(LACKING, LACKING + 2)
    numbers = [n for n in range(DAYS) if not GAP[0] <= n < GAP[1] and n != 82]
    files = [day(folder / "data", n, lengths.get(n, 1), n in lacking) for n in numbers]
    late = datetime(2024, 9, 1).timestamp()
    os.utime(files[LATE], (late, late))
    repo = folder / "repo"
    vzarr.build(files, repo, concat_dim="time", overlap="first")
    vzarr.append(day(folder / "better", REPLACED, note="better"), repo, replace=True)
    vzarr.remove(repo, [files[numbers.index(n)] for n in (90, 91)], gap=True)
    vzarr.report(repo, folder / "store.html", verify=True)
    vzarr.report(files, folder / "files.html")
    return {name: folder / f"{name}.html" for name in ("store", "files")}


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.running() as running:
        yield running


def test_the_browser_of_npm_needs_nothing_else(pages: dict[str, Path]) -> None:
    """What a machine without a browser gets: it starts, and has letters."""
    with browser.running(browser.from_npm()) as running, running.page(pages["store"]) as page:
        left, top, right, bottom = page.box("h1")
        assert right > left
        assert bottom - top > 20


@pytest.mark.parametrize("name", ["store", "files"])
@pytest.mark.parametrize(("width", "dark"), WIDTHS)
def test_opened(
    chromium: browser.Browser, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    with chromium.page(pages[name], width, dark=dark) as page:
        assert page.problems() == []
        assert page.requests() == [pages[name].as_uri()]
        assert page.ask("document.documentElement.scrollWidth") == width
        back, text = (
            page.ask(f"getComputedStyle(document.body).{key}")
            for key in ("backgroundColor", "color")
        )
        colours = DARK if dark else LIGHT
        assert (back, text) == (rgb(colours["back"]), rgb(colours["text"]))
        # Nothing is cut off: what is wider than the screen is broken into lines.
        wide = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.view, svg'))"
        outside = page.ask(f"{wide}.filter(e => e.getBoundingClientRect().right > {width}).length")
        assert outside == 0


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[at : at + 2], 16)) for at in (1, 3, 5))})"


@pytest.mark.parametrize(("width", "dark"), WIDTHS)
@pytest.mark.parametrize("label", PLACES)
def test_what_was_made_is_where_it_belongs(
    chromium: browser.Browser, pages: dict[str, Path], label: str, width: int, dark: bool
) -> None:
    """The mark of a lane against the axis of its days, in a colour that stands out."""
    begin, end = PLACES[label]
    find = f".lane:has(span:only-of-type):nth-child({lane_of(pages['store'], label)}) svg"
    with chromium.page(pages["store"], width, dark=dark) as page:
        left, _, right, _ = page.box(find)
        mark = page.box(f"{find} rect")
        share = [(edge - left) / (right - left) * DAYS for edge in (mark[0], mark[2])]
        assert share == pytest.approx([begin, end], abs=0.5)
        assert mark[2] - mark[0] >= 1.5  # pixels
        colours = DARK if dark else LIGHT
        fill = page.ask(f"getComputedStyle(document.querySelector('{find} rect')).fill")
        assert fill in {rgb(colours[name]) for name in ("odd", "native", "replaced")}


def lane_of(file: Path, label: str) -> int:
    """The number of a lane, from one on."""
    labels = re.findall(r'<div class="lane"><span>([^<]*)</span>', file.read_text())
    return labels.index(label) + 1


def test_marks_of_the_axis(chromium: browser.Browser, pages: dict[str, Path]) -> None:
    """February begins on the 31st of a hundred days, on a screen of any width."""
    for width, _ in WIDTHS[1:3]:
        with chromium.page(pages["store"], width) as page:
            left, _, right, _ = page.box(".lane svg")
            found = page.ask(
                "[...document.querySelectorAll('.timeline .axis span')].map(e => "
                "[e.textContent, parseFloat(e.style.left), e.getBoundingClientRect().width > 0])"
            )
            places = {label: place for label, place, _ in found}
            assert places["Feb 2024"] == pytest.approx(31, abs=0.01)
            shown = [label for label, _, is_shown in found if is_shown]
            assert len(shown) == (4 if width == 1400 else 2)
            assert right > left


def test_on_paper(chromium: browser.Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    """Also of a dark screen the paper is white, with the marks in their colours."""
    with chromium.page(pages["store"], dark=True) as page:
        page.paper(tmp_path / "page.pdf")
        page.browser.call("Emulation.setEmulatedMedia", media="print")
        assert page.ask("getComputedStyle(document.body).backgroundColor") == rgb(LIGHT["back"])
        assert page.ask(
            "getComputedStyle(document.querySelector('svg.strip')).printColorAdjust"
        ) == ("exact")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_pictures_have_a_text(chromium: browser.Browser, pages: dict[str, Path]) -> None:
    """Read from the tree that a browser gives to screen readers."""
    with chromium.page(pages["store"]) as page:
        page.browser.call("Accessibility.enable")
        nodes = page.browser.call("Accessibility.getFullAXTree")["nodes"]
        own = page.ask("document.querySelectorAll('svg.strip').length")
    images = [node for node in nodes if node.get("role", {}).get("value") == "image"]
    told = [text for node in images if (text := node["name"]["value"])]  # xarray's have none
    assert any("1 place without records from 2024-01-01 to 2024-04-09" in text for text in told)
    assert any(text.startswith("chunks of rain: ") for text in told)
    assert len(told) == own


@pytest.mark.parametrize(("width", "dark"), WIDTHS[1:3])
def test_in_a_notebook(
    chromium: browser.Browser, pages: dict[str, Path], tmp_path: Path, width: int, dark: bool
) -> None:
    """What a cell shows: by itself, as notebooks put it into their own page."""
    folder = pages["store"].parent
    results = [vzarr.inspect(str(folder / "data" / "*.nc")), vzarr.show(folder / "repo"), Report()]
    body = "".join(result._repr_html_() for result in results)
    file = tmp_path / "cell.html"
    screen = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    file.write_text(f"<!DOCTYPE html>{screen}<body>{body}</body>")
    with chromium.page(file, width, dark=dark) as page:
        assert page.problems() == []
        assert page.requests() == [file.as_uri()]
        assert page.ask("document.documentElement.scrollWidth") == width
        left, _, right, _ = page.box(".virtual-zarr svg")
        mark = page.box(".virtual-zarr svg.strip rect")
        share = [(edge - left) / (right - left) * DAYS for edge in (mark[0], mark[2])]
        assert share == pytest.approx(GAP, abs=0.5)
