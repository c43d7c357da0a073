"""What the Markdown says of a run: ``python -m benchmarks.quotations`` writes its figures anew.

Each quotation is a phrase of ``references/scaling*.md`` with places for figures; the words stay as
they are, so a phrase that is reworded has to be changed here as well.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from benchmarks.measuring import Cell
from benchmarks.results import Run, load

REFERENCES = Path(__file__).parents[1] / "references"
FILES = "scaling*.md"
NUMBER = r"(\d[\d,]*(?:\.\d+)?)"

Figures = dict[str, Cell]


@dataclass(frozen=True)
class Quotation:
    """``phrases``: ways of saying it, of which at least one is there; ``figures`` of a run."""

    figures: Callable[[Run], Figures]
    phrases: tuple[str, ...]

    def told(self, run: Run) -> list[str]:
        """Its phrases with the figures of a run."""
        return [phrase.format(**self.figures(run)) for phrase in self.phrases]


def _small_files(run: Run) -> Figures:
    ways = {row["way"]: row["seconds"] for row in run.tables["Parse 200 small local files"]}
    names = {
        "serial": "serial",
        "workers": "spawn, 2",
        "threads": "threads, 8",
        "dask": "Dask LocalCluster, 2 processes",
        "calls": "Lithops, a call a file",
        "groups": "Lithops, a call a worker",
    }
    figures = {name: ways[way] for name, way in names.items()}
    return {**figures, "grouped": ways[names["calls"]] / ways[names["groups"]]}


def _built(run: Run) -> Figures:
    title = "Build a repository: the tool against the serial recipe"
    local, far = (run.row(title, files=name) for name in ("2,000 local (200)", "500 far (20)"))
    return {"local": local["recipe / tool"], "far": far["recipe / tool"]}


DEFAULT, PARTS, ONE = "Block 1 MiB x 64 (default)", "whole, 8 MiB parts in threads", "Eager"
SCATTERED = "many chunks, scattered index"


def _remote(run: Run) -> Figures:
    seconds = {row["file"]: row for row in run.tables["Parse one remote file: seconds"]}
    requests = run.row("Parse one remote file: requests", file="daily file")
    small = seconds.pop("daily file")
    scattered = seconds.pop(SCATTERED)
    gains = [row[ONE] / row[DEFAULT] for row in seconds.values()]
    return {
        "whole": requests[PARTS],
        "default": requests[DEFAULT],
        "faster": small[DEFAULT] / small[PARTS],
        "least": math.floor(min(gains)),
        "most": round(max(gains)),
        "scattered": scattered[DEFAULT] / scattered[PARTS],
    }


def _small_remote(run: Run) -> Figures:
    return _remote(run) | _built(run)


def _combined(run: Run) -> Figures:
    rows = {row["way"]: row for row in run.tables["Combine datasets"]}
    ratio = "way / first, 1,000"
    seconds = rows["minimal, minimal, override, exact"]["1,000"]
    return {
        "defaults": rows["xr.concat defaults"][ratio],
        "kerchunk": rows["kerchunk MultiZarrToZarr"][ratio],
        "seconds": seconds,
        "hours": 10_000 * seconds / 3600,
    }


def _written(run: Run) -> Figures:
    def row(way: str) -> dict[str, Cell]:
        return run.row("Writing references", references=1_000_000, written_as=way)

    seconds = "write + commit, s"
    fine = "Icechunk, finely split"
    memory = round(row("Icechunk")["peak memory, bytes a reference"], -1)
    return {
        "icechunk": row("Icechunk")[seconds],
        "json": row("kerchunk JSON")[seconds],
        "one": row(fine)[seconds],
        "five": row(f"{fine}, in several commits")[seconds],
        "memory": int(memory),
        "million": memory / 1e3,
        "fifty": memory * 50 / 1e3,
        "hours": 1e9 * row("Icechunk")[seconds] / 1e6 / 3600,
    }


def _regions(run: Run) -> Figures:
    title = "References of 600 files, written in regions"
    one, two = (run.row(title, way=way) for way in ("this process, no pool", "forkserver, 2"))
    return {"one": one["s"], "two": two["s"]}


def _appended(run: Run) -> Figures:
    title = "A series of 200 daily appends"
    rows = {way: run.row(title, appended_by=way) for way in ("recipe", "recipe, split")}
    return {"unsplit": rows["recipe"]["ratio"], "split": rows["recipe, split"]["ratio"]}


def _opened(run: Run) -> Figures:
    title, local = "Opening, and the first value", "open + first value, local, s"

    def milliseconds(references: int) -> float:
        row = run.row(title, references=references, references_a_manifest=20_000)
        return 1000 * row[local]

    whole = run.row(title, references=1_000_000, references_a_manifest="all")
    return {
        "few": milliseconds(10_000),
        "million": milliseconds(1_000_000),
        "five": milliseconds(5_000_000),
        "whole": whole[local],
    }


def _read(run: Run) -> Figures:
    def setting(name: str) -> Cell:
        return run.row("Settings of a remote point series", setting=name)["series, s"]

    title = "Reading, behind 40 ms a request"
    total = "open + series, s"
    return {
        "ten": setting("async.concurrency 10 (default)"),
        "many": setting("async.concurrency 128"),
        "sources": run.row(title, read_through="open_mfdataset on the sources")[total],
        "whole": run.row(title, read_through="open_mfdataset, whole files first")[total],
        "store": run.row(title, read_through="virtual store")[total],
    }


def _copied(run: Run) -> Figures:
    figures: Figures = {}
    for where, title in (("local", "local"), ("remote", "behind 40 ms a request")):
        store, copy = (
            run.row(f"Reading, {title}", read_through=name)
            for name in ("virtual store", "native copy, chunks for series")
        )
        figures[f"{where}_series"] = store["series, s"] / copy["series, s"]
        figures[f"{where}_map"] = copy["map, s"] / store["map, s"]
    return figures


def _parsed(run: Run) -> Figures:
    def seconds(variables: int) -> Cell:
        row = run.row("Parse one local file", variables=variables, chunks=10)
        return row["open_virtual_dataset"]

    hours = [1e7 * seconds(variables) / 3600 for variables in (1, 10)]
    return {"one": seconds(1), "ten": seconds(10), "low": hours[0], "high": hours[1]}


QUOTATIONS = (
    Quotation(
        _small_files,
        (
            "200 files: {serial:.2g} s; 2 workers {workers:.2g} s, 8 threads {threads:.2g} s, "
            "Dask {dask:.2g} s",
        ),
    ),
    Quotation(_built, ("tool, 2,000 files: {local:.2g} times faster than the serial recipe",)),
    Quotation(
        _small_remote,
        (
            "{whole} requests a file instead of {default}, {faster:.0f} times faster; tool, 500 "
            "files: {far:.0f} times",
        ),
    ),
    Quotation(_remote, ("{least} to {most} times faster than the whole file in one request",)),
    Quotation(_remote, ("{scattered:.0f} times faster than the default reader",)),
    Quotation(
        _small_files,
        (
            "200 files on 2 local workers {dask:.2g} s",
            "2 local worker processes: {dask:.2g} s for what takes {serial:.2g} s here",
        ),
    ),
    Quotation(_small_files, ("{grouped:.0f} times faster than a call",)),
    Quotation(_small_files, ("200 files: {calls:.0f} s; in two groups {groups:.2g} s",)),
    Quotation(
        _written,
        ("writing 1 million references: {icechunk:.3g} s, kerchunk JSON {json:.3g} s",),
    ),
    Quotation(
        _combined,
        (
            "{defaults:.0f} times faster than xarray's defaults, {kerchunk:.0f} times than "
            "`MultiZarrToZarr`; linear up to 5,000",
        ),
    ),
    Quotation(
        _regions,
        ("600 small local files: {one:.0f} s in one process, {two:.2g} s with 2 workers",),
    ),
    Quotation(
        _appended,
        ("append 200 against append 2: {split:.2f} split, {unsplit:.2f} unsplit",),
    ),
    Quotation(
        _opened,
        ("1 million: {million:.0f} ms instead of {whole:.2f} s; 5 million: {five:.0f} ms",),
    ),
    Quotation(
        _read,
        (
            "remote: {ten:.2f} s with 10, {many:.2f} s with 128; `open_mfdataset` on the sources: "
            "{sources:.1f} s with opening ({whole:.1f} s if fetched whole before), the store "
            "{store:.1f} s",
        ),
    ),
    Quotation(
        _copied,
        (
            "local: a series {local_series:.0f} times faster, a map {local_map:.0f} times slower; "
            "remote: {remote_series:.0f} and {remote_map:.0f} times",
        ),
    ),
    Quotation(_written, ("1 million into 84: one commit {one:.1f} s, five {five:.1f} s",)),
    Quotation(_written, ("{memory:,} bytes a reference in one session",)),
    Quotation(
        _written,
        (
            "until the commit: {million:.1f} GB for 1 million, {fifty:.0f} GB for 50 million",
            "references x {memory:,} B | {million:.1f} GB for 1 million; 50 million in one commit "
            "would take {fifty:.0f} GB",
        ),
    ),
    Quotation(
        _opened,
        (
            "takes {few:.0f} ms with 10,000 references, {five:.0f} ms with 5 million",
            "open and read: {few:.0f} ms with 10,000 references, {five:.0f} ms with 5 million",
        ),
    ),
    Quotation(
        _parsed,
        (
            "{low:.0f} to {high:.0f} core hours ({one:.3f} s a file of 1 variable, {ten:.3f} s of "
            "10)",
            "10,000,000 x {one:.3f} s (1 variable) to {ten:.3f} s (10) | {low:.0f} to {high:.0f} "
            "core hours",
        ),
    ),
    Quotation(
        _combined,
        (
            "combining in batches of 1,000 {hours:.1f} hours of one core",
            "10,000 x {seconds:.2f} s | {hours:.1f} hours of one core",
        ),
    ),
    Quotation(
        _written,
        (
            "writing {hours:.1f} hours ({icechunk:.2f} µs a reference)",
            "1,000,000,000 x {icechunk:.2f} µs | {hours:.1f} hours of one core",
        ),
    ),
)

ELSEWHERE = ("120 s of one core, 1.9 GB of memory",)
"""Figures in the column "Measured" of another run: that of ``simulation.md``."""


def pattern(phrase: str) -> re.Pattern[str]:
    """Finds a phrase with any figures, and wherever its lines are broken."""
    parts = []
    for literal, name, _, _ in Formatter().parse(phrase):
        parts.append(r"\s+".join(re.escape(word) for word in literal.split(" ")))
        parts += [NUMBER] if name is not None else []
    return re.compile(r"(?<![\d.,])" + "".join(parts))


def missing(run: Run, text: str) -> list[str]:
    """Phrases with the figures of a run of which none is in a text."""
    plain = " ".join(text.split())
    return [
        told[0]
        for told in (quotation.told(run) for quotation in QUOTATIONS)
        if not any(phrase in plain for phrase in told)
    ]


def written_anew(run: Run, text: str) -> str:
    """A text with the figures of a run in all phrases that it has."""
    for quotation in QUOTATIONS:
        for phrase, told in zip(quotation.phrases, quotation.told(run), strict=True):
            found = pattern(phrase)
            fresh = found.search(told)
            assert fresh is not None, phrase
            text = found.sub(lambda match, fresh=fresh: _with(match, fresh.groups()), text)
    return text


def _with(match: re.Match[str], figures: Sequence[str]) -> str:
    """What was found, in its own lines, with other figures."""
    parts, at = [], match.start()
    for number, figure in enumerate(figures, 1):
        parts += [match.string[at : match.start(number)], figure]
        at = match.end(number)
    return "".join([*parts, match.string[at : match.end()]])


def unexplained(text: str) -> Iterator[str]:
    """Cells of columns called "Measured" with figures that no quotation brings."""
    column = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []
        if "Measured" in cells:
            column = cells.index("Measured")
        elif not cells:
            column = None
        elif column is not None and column < len(cells):
            rest = cells[column]
            for phrase in [*ELSEWHERE, *(p for q in QUOTATIONS for p in q.phrases)]:
                rest = pattern(phrase).sub("", rest)
            if re.search(r"\d", rest):
                yield cells[column]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quotations", description=__doc__)
    parser.parse_args(arguments)
    run = load()
    texts = {path: path.read_text() for path in REFERENCES.glob(FILES)}
    fresh = {path: written_anew(run, text) for path, text in texts.items()}
    for path, text in fresh.items():
        if text != texts[path]:
            path.write_text(text)
    absent = missing(run, "\n".join(fresh.values()))
    for phrase in absent:
        print(f"nowhere in {FILES}: {phrase}", file=sys.stderr)
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
