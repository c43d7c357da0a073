"""A file put between others, and one taken out: what it costs, and how that grows."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import h5py

from benchmarks.measuring import Floor, Table, grows_like
from benchmarks.samples import ARCHIVED, write_series

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from vzarr.changes.build import build
from vzarr.commands.append import append
from vzarr.commands.remove import remove
from vzarr.sources.schemes import Access

HOURS = 24
TILES, SMALL_TILES = 16, 2
"""256 chunks an hour, 6,144 references a day."""
DAYS, SMALL_DAYS = (17, 170), (3, 5)
SECONDS = 60
"""What a change may cost on a store of a million references."""


def tables(folder: Path, small: bool) -> Iterable[Table]:
    tiles, sizes = (SMALL_TILES, SMALL_DAYS) if small else (TILES, DAYS)
    days = write_days(folder / "days", max(sizes), tiles)
    rows = [row for size in sizes for row in changes(folder / f"{size}", days[:size], tiles)]
    first = [row for row in rows if row["the file"] == "the first"]
    references = [int(row["references"]) for row in first]
    floors = [
        Floor(f"{what} the first file, s", float(first[-1][f"{what}, s"]), SECONDS)
        for what in ("insert", "remove")
    ]
    growth = grows_like(references, [float(row["insert, s"]) for row in first])
    floors.append(Floor("insert the first file: the exponent of its growth", growth, 1.3))
    yield Table(
        "A file put between others, and taken out",
        f"{HOURS} hours a day in {tiles**2} chunks each ({HOURS * tiles**2:,} references), local "
        "files, by the tool, which compares with sources before it commits. One run each.",
        rows,
        floors,
    )


def changes(folder: Path, days: list[Path], tiles: int) -> Iterable[dict[str, str | int | float]]:
    """Insert and remove the first day, one in the middle, and the last but one."""
    places = {"the first": 0, "in the middle": len(days) // 2, "the last but one": len(days) - 2}
    late = places["the first"]
    place = folder / "repository"
    build([str(day) for day in days if day != days[late]], str(place), Access(), concat_dim="time")
    for what, number in places.items():
        day = str(days[number])
        if number != late:
            remove(str(place), Access(), [day])
        inserted, done = timed(append, [day], str(place), Access(), insert=True)
        if len(done.inserted) != 1:
            raise RuntimeError(f"{day} was not inserted")
        removed, _ = timed(remove, str(place), Access(), [day])
        append([day], str(place), Access(), insert=True)
        yield {
            "references": len(days) * HOURS * tiles**2,
            "files": len(days),
            "the file": what,
            "insert, s": inserted,
            "remove, s": removed,
        }


def timed(work, *arguments, **options):
    start = time.perf_counter()
    result = work(*arguments, **options)
    return time.perf_counter() - start, result


def write_days(folder: Path, count: int, tiles: int) -> list[Path]:
    paths = []
    for number in range(count):
        path = write_series(folder / f"day_{number:03d}.nc", steps=HOURS, tiles=tiles, side=2)
        with h5py.File(path, "r+") as file:
            file["time"][...] = file["time"][...] + HOURS * number
        os.utime(path, (ARCHIVED, ARCHIVED))
        paths.append(path)
    return paths
