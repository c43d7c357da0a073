"""A store that lives: files inserted and removed, an archive that moves, `show` and `log`."""

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
from vzarr.commands.log import read_log
from vzarr.commands.relocate import repoint
from vzarr.commands.remove import remove
from vzarr.commands.show import show
from vzarr.sources.schemes import Access

HOURS = 24
TILES, SMALL_TILES = 16, 2
"""256 chunks an hour, 6,144 references a day."""
DAYS, SMALL_DAYS = (17, 170), (3, 5)
SECONDS = 60
"""What a change may cost on a store of a million references."""


LOOK = 2
"""Seconds that `show` and `log` may take there."""


Row = dict[str, str | int | float]


LOOKS = {"show": show, "log": read_log}


def tables(folder: Path, small: bool) -> Iterable[Table]:
    tiles, sizes = (SMALL_TILES, SMALL_DAYS) if small else (TILES, DAYS)
    days = write_days(folder / "days", max(sizes), tiles)
    rows, others = [], []
    for size in sizes:
        rows += changes(folder / f"{size}", days[:size], tiles)
        others.append(rest(folder / f"{size}", folder / "days", days[:size], tiles))
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
    yield Table(
        "The archive moves, and what is there",
        "On the same stores, whose history has the commits above: `refresh --from --to` of all "
        "files, which have their names still; `show` and `log` with nothing open before. One run.",
        others,
        [
            Floor("relocate, s", float(others[-1]["relocate, s"]), SECONDS),
            *(Floor(f"{name}, s", float(others[-1][f"{name}, s"]), LOOK) for name in LOOKS),
        ],
    )


def changes(folder: Path, days: list[Path], tiles: int) -> Iterable[Row]:
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


def rest(folder: Path, archive: Path, days: list[Path], tiles: int) -> Row:
    """Move the archive and back; show, and list the history."""
    place, moved = str(folder / "repository"), archive.with_name(f"moved_{len(days)}")
    archive.rename(moved)
    relocated, _ = timed(repoint, place, Access(), str(archive), str(moved))
    looks = {name: timed(look, place, Access())[0] for name, look in LOOKS.items()}
    moved.rename(archive)
    return {
        "references": len(days) * HOURS * tiles**2,
        "files": len(days),
        "relocate, s": relocated,
        **{f"{name}, s": seconds for name, seconds in looks.items()},
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
