"""Draw the figures of the newest committed run: ``python -m benchmarks.pictures``.

The pictures lie in ``benchmarks/pictures/``; ``--check`` compares them with what would be drawn.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.drawing import MARGIN, WIDTH, Picture, apart, linear, logarithmic
from benchmarks.measuring import Cell, show
from benchmarks.results import Run, load

FOLDER = Path(__file__).parent / "pictures"

APPENDS = "A series of 200 daily appends"
ALONG = "Appends along the series"
WAYS = {
    "recipe": ("second", "recipe, one manifest"),
    "recipe, split": ("third", "recipe, split"),
    "tool": ("first", "tool: splits, and compares"),
}
READERS = {
    "Block 1 MiB x 64 (default)": ("second", "default reader"),
    "whole, 8 MiB parts in threads": ("third", "whole file, in parts at once"),
    "kerchunk, 5 MiB read-ahead": ("fourth", "kerchunk"),
    "tool's choice": ("first", "tool's choice"),
}
"""Of remote parsing: what is named. All others are drawn without a name."""
NO_READER = ("file", "MB", "best", "default / best", "tool with checks")


def appending(run: Run) -> Picture:
    """What an append of a day takes and writes, from the 2nd to the 200th."""
    rows = {str(row["appended by"]): row for row in run.tables[APPENDS]}
    unsplit, split = rows["recipe"], rows["recipe, split"]

    def last(row: dict[str, Cell], what: str) -> str:
        return f"append 200 {show(row[f'append 200, {what}'])}"

    written = [round(each["append 200, kB written"]) for each in (unsplit, split)]
    picture = Picture(
        [
            f"Unsplit, the 200th append writes {written[0]} kB, with split manifests {written[1]},",
            f"and it takes {show(unsplit['ratio'])} times as long as the 2nd",
        ],
        390,
        "One day of 216 references each, local files. Measured by benchmarks/appending.py.",
        "; ".join(
            f"{way}: append 2 took {show(row['append 2, s'])} s, {last(row, 's')} s, and wrote "
            f"{show(row['append 2, kB written'])} kB, {last(row, 'kB written')} kB"
            for way, row in rows.items()
        ),
    )
    along = run.tables[ALONG]
    _lines(
        picture,
        MARGIN,
        "kB written by an append",
        {way: _series(along, f"{way}, kB written") for way in rows},
        lambda way, value: f"{show(value)} kB",
        (0, 400),
    )
    _lines(
        picture,
        WIDTH / 2 + 8,
        "seconds, times those of append 2",
        {way: _series(along, f"{way}, s", row["append 2, s"]) for way, row in rows.items()},
        lambda way, value: f"{show(value)} ({show(rows[way]['append 200, s'])} s)",
        (0, 2),
    )
    return picture


def _series(rows: list[dict[str, Cell]], name: str, unit: float = 1.0) -> list[tuple[int, float]]:
    """The appends and a column at them."""
    return [(row["append"], row[name] / unit) for row in rows]


def _lines(
    picture: Picture,
    left: float,
    title: str,
    series: dict[str, list[tuple[int, float]]],
    label: Callable[[str, float], str],
    limits: tuple[float, float],
) -> None:
    """A panel of lines along the appends, with the way and its last value at the end."""
    top, bottom = picture.top + 56, picture.height - 66
    begin, end = left + 36, left + 140
    place = linear(*limits, bottom, top)
    picture.text(left, picture.top + 18, title, "text panel")
    for value in (limits[0], limits[1]):
        picture.line(begin, place(value), end, place(value))
        picture.text(begin - 6, place(value) + 5, show(value), "faint", "end")
    for x, name in ((begin, "2nd"), (end, "200th")):
        picture.text(x, bottom + 22, name, "faint", "middle")
    along = linear(2, 200, begin, end)
    ends = [place(series[way][-1][1]) for way in WAYS]
    for (way, (kind, name)), y in zip(WAYS.items(), apart(ends, 36), strict=True):
        picture.path([(along(number), place(value)) for number, value in series[way]], kind)
        picture.text(end + 12, y - 2, name, kind)
        picture.text(end + 12, y + 15, label(way, series[way][-1][1]), "text")


def parsing(run: Run) -> Picture:
    """Seconds of each reader, for each layout of a remote file."""
    rows = run.tables["Parse one remote file: seconds"]
    slow = max(rows, key=lambda row: row["default / best"])
    picture = Picture(
        [
            "Which reader parses a remote file quickly depends on its layout: with",
            f"a {str(slow['file']).partition(', ')[2]} the default takes "
            f"{round(slow['default / best'])} times as long as the best",
        ],
        440,
        "Logarithmic axis; a store with 40 ms a request, 90 MB/s each. benchmarks/parsing.py.",
        "; ".join(
            f"{row['file']} of {show(row['MB'])} MB: "
            + ", ".join(f"{name} {show(row[reader])} s" for reader, (_, name) in READERS.items())
            for row in rows
        ),
    )
    left, top, bottom = 330, picture.top + 62, picture.height - 66
    place = logarithmic(0.1, 30, left, WIDTH - MARGIN - 10)
    for value in (0.1, 0.3, 1, 3, 10, 30):
        picture.line(place(value), top - 14, place(value), bottom)
        picture.text(place(value), bottom + 20, f"{value:g} s", "faint", "middle")
    for number, (kind, name) in enumerate([*READERS.values(), ("others", "other readers")]):
        x = MARGIN + 8 + (0, 136, 374, 474, 604)[number]
        picture.dot(x, picture.top + 17, kind, 6)
        picture.text(x + 12, picture.top + 22, name, "faint" if kind == "others" else kind)
    for number, row in enumerate(rows):
        y = top + 10 + number * (bottom - top - 20) / (len(rows) - 1)
        picture.line(left, y, WIDTH - MARGIN - 10, y)
        picture.text(MARGIN, y + 5, f"{row['file']}, {show(round(row['MB']))} MB")
        for name, value in row.items():
            if name not in (*NO_READER, *READERS):
                picture.dot(place(value), y, "others", 4)
        for at, (reader, (kind, _)) in enumerate(READERS.items()):
            picture.dot(place(row[reader]), y + 5 * at - 7.5, kind, 6)
    return picture


def opening(run: Run) -> Picture:
    """Open and first value, against the number of references."""
    rows = run.tables["Opening, and the first value"]
    split = [row for row in rows if row["references a manifest"] == 20_000]
    whole = [row for row in rows if row["references a manifest"] == "all"]
    where = {
        "open + first value, local, s": "repository on disk",
        "remote, s": "40 ms a request away",
    }
    local = "open + first value, local, s"
    fast = _ms(split[-1][local])
    picture = Picture(
        [
            f"With split manifests the first value comes after {fast} at any size,",
            f"with a million references in one manifest after {_ms(whole[-1][local])}",
        ],
        390,
        "Open and read one value, by references; logarithmic axis. benchmarks/reading.py.",
        "; ".join(
            f"{show(row['references'])} references, {row['references a manifest']} a manifest: "
            + ", ".join(f"{_ms(row[column])} {name}" for column, name in where.items())
            for row in [*split, *whole]
        ),
    )
    top, bottom = picture.top + 44, picture.height - 66
    for number, (column, title) in enumerate(where.items()):
        left = MARGIN + number * (WIDTH / 2 - 16)
        highest = 0.2 if number == 0 else 0.5
        y = linear(0, highest, bottom, top)
        x = logarithmic(1e4, 5e6, left + 64, left + 254)
        picture.text(left, picture.top + 18, title, "text panel")
        for value in (0, highest / 2, highest):
            picture.line(left + 58, y(value), left + 262, y(value))
            picture.text(left + 50, y(value) + 5, _ms(value), "faint", "end")
        for value, name in ((1e4, "10k"), (1e6, "1M"), (5e6, "5M")):
            picture.text(x(value), bottom + 22, name, "faint", "middle")
        for part, kind, name in ((whole, "second", "one manifest"), (split, "first", "split")):
            points = [(x(row["references"]), y(row[column])) for row in part]
            picture.path(points, kind)
            end = points[-1]
            picture.text(left + 270, end[1] - 2, name, kind)
            picture.text(left + 270, end[1] + 15, _ms(part[-1][column]), "text")
    return picture


def _ms(seconds: float) -> str:
    return f"{show(round(seconds * 1000, 1) if seconds < 0.02 else round(seconds * 1000))} ms"


def share(run: Run) -> Picture:
    """How much of real files is virtual, by format."""
    rows = run.tables["What ends virtual of real files"]
    every = rows[-1]
    left, right = 210, WIDTH - 200
    picture = Picture(
        [
            f"{str(every['bytes virtual']).capitalize()} of the bytes of {every['files']} real "
            "files are virtual"
        ],
        130 + 36 * len(rows),
        "Decoded bytes of what is byte ranges: the rest is copied. benchmarks/share.py.",
        "; ".join(
            f"{row['format']}: {row['bytes virtual']} of the bytes of {row['files']} files, "
            f"{row['variables virtual']} variables virtual and {row['copied']} copied"
            for row in rows
        ),
    )
    place = linear(0, 100, left, right)
    for number, row in enumerate(rows):
        y = picture.top + 10 + 36 * number
        value = float(str(row["bytes virtual"]).removeprefix("above ").rstrip("%"))
        files = "file" if row["files"] == 1 else "files"
        name = str(row["format"])
        picture.text(MARGIN, y + 17, name, "text panel" if row is every else "text")
        picture.text(left - 10, y + 17, f"{row['files']} {files}", "faint", "end")
        picture.bar(left, y, right - left, 24, "grid")
        picture.bar(left, y, place(value) - left, 24, "first")
        picture.text(right + 10, y + 17, f"{row['bytes virtual']} virtual")
    return picture


PICTURES = {"appending": appending, "parsing": parsing, "first-value": opening, "share": share}


def draw(run: Run | None = None) -> dict[str, str]:
    """All pictures by their names, as SVG."""
    run = run or load()
    return {f"{name}.svg": make(run).as_svg() for name, make in PICTURES.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is there")
    options = parser.parse_args(arguments)
    drawn = draw()
    if options.check:
        there = {path.name: path.read_text() for path in FOLDER.glob("*.svg")}
        return int(there != drawn)
    FOLDER.mkdir(exist_ok=True)
    for name, text in drawn.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
