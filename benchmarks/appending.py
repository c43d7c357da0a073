"""A series of daily appends: the first and the last, with and without manifest splitting."""

from __future__ import annotations

import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import h5py
import icechunk
import xarray as xr
from obspec_utils.registry import ObjectStoreRegistry
from obstore.store import LocalStore
from virtualizarr import open_virtual_dataset
from virtualizarr.parsers import HDFParser

from benchmarks.manifests import configuration, size_of
from benchmarks.measuring import Floor, Table
from benchmarks.samples import ARCHIVED, write_series

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from vzarr.changes.build import build as tool_build
from vzarr.commands.append import append as tool_append
from vzarr.sources.schemes import Access

DAYS, SMALL_DAYS = 200, 8
HOURS = 24
TILES = 3
"""9 chunks an hour: 216 references a day, 43,200 in 200 days."""
SPLIT = 10 * HOURS
"""Steps a manifest: ten days."""
COMPARED = 5
"""Appends at either end whose median is shown."""

TOOL, PLAIN, SPLIT_UP = "tool", "recipe", "recipe, split"


def tables(folder: Path, small: bool) -> Iterable[Table]:
    days = write_days(folder / "days", 1 + (SMALL_DAYS if small else DAYS))
    series = {
        TOOL: Series(folder / "tool", days, build_by_tool, append_by_tool),
        PLAIN: Series(folder / "plain", days, lambda *where: build(*where, None), append),
        SPLIT_UP: Series(folder / "split", days, lambda *where: build(*where, SPLIT), append),
    }
    for each in series.values():
        each.build()
    for day in days[1:]:  # in turns, so that what else the machine does hits all alike
        for each in series.values():
            each.append(day)
    last = len(days) - 1
    rows = [each.as_row(way) for way, each in series.items()]
    tool = rows[0]
    yield Table(
        f"A series of {last} daily appends",
        f"{HOURS} hours a day in {TILES**2} chunks each ({HOURS * TILES**2} references), local "
        f"files, a process that goes on; the tool also compares with sources. Median of appends 2 "
        f"to {1 + COMPARED}, and of the last {COMPARED}. Split: {SPLIT // HOURS} days a manifest.",
        rows,
        [Floor(f"tool: append {last} to append 2", tool["ratio"], 1.3)],
    )
    yield Table(
        "Appends along the series",
        f"The same series: median of {COMPARED} appends around each.",
        [row_along(series, number) for number in points(last)],
    )
    yield from maintained(series, last)


def points(last: int) -> list[int]:
    """The 2nd append, the last, and some between them."""
    return [2, *range(max(3, last // 8), last, max(1, last // 8)), last]


def row_along(series: dict[str, Series], number: int) -> dict[str, str | int | float]:
    """What an append takes and writes, one way beside another."""
    row: dict[str, str | int | float] = {"append": number}
    for way, each in series.items():
        seconds, written = each.around(number)
        row[f"{way}, s"] = seconds
        row[f"{way}, kB written"] = written / 1e3
    return row


class Series:
    """One repository, and what each append to it took."""

    def __init__(self, place: Path, days: list[Path], build: Callable, append: Callable) -> None:
        self.place, self.days = place, days
        self._build, self._append = build, append
        self.seconds: list[float] = []
        self.written: list[int] = []

    def build(self) -> None:
        self._build(self.days[0], self.place)

    def append(self, day: Path) -> None:
        before = states(self.place)
        start = time.perf_counter()
        self._append(day, self.place)
        self.seconds.append(time.perf_counter() - start)
        after = states(self.place)
        new = [file for file, state in after.items() if before.get(file) != state]
        self.written.append(sum(after[file][1] for file in new))

    def around(self, number: int) -> tuple[float, float]:
        """Seconds of an append, and bytes that it wrote: medians of it and of those beside it."""
        begin = max(1, min(number - 1 - COMPARED // 2, len(self.seconds) - COMPARED))
        some = slice(begin, begin + COMPARED)
        return statistics.median(self.seconds[some]), statistics.median(self.written[some])

    def as_row(self, way: str) -> dict[str, str | int | float]:
        last = len(self.seconds)
        (first, little), (final, much) = self.around(2), self.around(last)
        return {
            "appended by": way,
            "append 2, s": first,
            f"append {last}, s": final,
            "ratio": final / first,
            "append 2, kB written": little / 1e3,
            f"append {last}, kB written": much / 1e3,
            "repository, MB": size_of(self.place) / 1e6,
        }


def states(place: Path) -> dict[Path, tuple[int, int]]:
    found = ((file, file.stat()) for file in place.rglob("*") if file.is_file())
    return {file: (state.st_mtime_ns, state.st_size) for file, state in found}


def write_days(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(count):
        path = write_series(folder / f"day_{number:03d}.nc", steps=HOURS, tiles=TILES, side=16)
        with h5py.File(path, "r+") as file:
            file["time"][...] = file["time"][...] + HOURS * number
        os.utime(path, (ARCHIVED, ARCHIVED))
        paths.append(path)
    return paths


def build_by_tool(day: Path, place: Path) -> None:
    tool_build([str(day)], str(place), Access(), concat_dim="time")


def append_by_tool(day: Path, place: Path) -> None:
    if len(tool_append([str(day)], str(place), Access()).appended) != 1:
        raise RuntimeError(f"{day} was not appended")


def parse(day: Path) -> xr.Dataset:
    registry = ObjectStoreRegistry({"file://": LocalStore()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_virtual_dataset(f"file://{day}", registry=registry, parser=HDFParser())


def open_repository(place: Path, prefix: str) -> icechunk.Repository:
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    storage = icechunk.local_filesystem_storage(str(place))
    return icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)


def build(day: Path, place: Path, split: int | None) -> None:
    vds = parse(day)
    clock = {"units": "hours since 2000-01-01", "calendar": "standard", "dtype": "int64"}
    vds.time.encoding = clock | {"chunks": (65_536,)}
    config = configuration(f"file://{day.parent}/", split)
    storage = icechunk.local_filesystem_storage(str(place))
    repo = icechunk.Repository.create(storage, config)
    repo.save_config()
    with repo.transaction("main", message=day.name) as store:
        vds.vz.to_icechunk(store, last_updated_at=datetime.now(UTC))


def append(day: Path, place: Path) -> None:
    """The recipe: parse, look where the archive ends, append, commit."""
    new = parse(day)
    repo = open_repository(place, f"file://{day.parent}/")
    old = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
    if new.indexes["time"][0] <= old.indexes["time"][-1]:
        raise ValueError(f"{day}: begins inside the archive")
    static = [name for name in new.variables if "time" not in new[name].dims]
    new = new.drop_vars(static)
    new.time.encoding = {}
    with repo.transaction("main", message=day.name) as store:
        new.vz.to_icechunk(store, append_dim="time", last_updated_at=datetime.now(UTC))


def maintained(series: dict[str, Series], last: int) -> Iterable[Table]:
    """What may be done about a series that was not split, and its old snapshots."""
    plain = series[PLAIN]
    prefix = f"file://{plain.days[0].parent}/"
    repo = open_repository(plain.place, prefix)
    rows = []

    def step(what: str, work: Callable[[], object]) -> None:
        before = size_of(plain.place)
        start = time.perf_counter()
        work()
        seconds = time.perf_counter() - start
        after = size_of(plain.place)
        rows.append(
            {"done": what, "s": seconds, "MB before": before / 1e6, "MB after": after / 1e6}
        )

    def split_up() -> None:
        nonlocal repo
        repo = repo.reopen(config=configuration(prefix, SPLIT))
        repo.save_config()
        repo.rewrite_manifests("split the manifests", branch="main")

    def append_a_day() -> None:
        with h5py.File(plain.days[-1], "r+") as file:
            file["time"][...] = file["time"][...] + HOURS
        append(plain.days[-1], plain.place)

    later = datetime.now(UTC) + timedelta(days=1)
    step("rewrite_manifests with splitting", split_up)
    step("one more append", append_a_day)
    step("expire_snapshots, all but the last", lambda: repo.expire_snapshots(later))
    step("garbage_collect", lambda: repo.garbage_collect(later))
    yield Table(
        f"Maintenance after {last} appends without splitting",
        "The recipe's repository of the table above, one thing after another.",
        rows,
    )
