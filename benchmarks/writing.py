"""References made in memory to Icechunk, kerchunk JSON and Parquet: time, memory, bytes."""

from __future__ import annotations

import math
import shutil
import time
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import icechunk

from benchmarks.manifests import TILES, configuration, global_fields, size_of
from benchmarks.measuring import Floor, Measured, Table, apart, here

SIZES = (10_000, 1_000_000, 5_000_000)
SMALL_SIZES = (1_000, 10_000)
KERCHUNK_UP_TO = 1_000_000
"""Five million would take a minute in each format, and add nothing: both grow linearly."""
APART_FROM = 100_000
"""Below, imports would be most of a process's time and memory."""
SPLIT = 600
"""Steps a manifest: 60,000 references, below the 65,535 up to which locations may stay plain."""

VALIDATED, UNVALIDATED = "Icechunk", "Icechunk, containers not validated"
SPLIT_UP, PLAIN = "Icechunk, split", "Icechunk, split, plain locations"
JSON, PARQUET = "kerchunk JSON", "kerchunk Parquet"
WAYS = (VALIDATED, UNVALIDATED, SPLIT_UP, PLAIN, JSON, PARQUET)
LARGEST = (VALIDATED,)


def tables(folder: Path, small: bool) -> Iterable[Table]:
    sizes = SMALL_SIZES if small else SIZES
    rows, measured = [], {}
    for size in sizes:
        for way in WAYS if size <= KERCHUNK_UP_TO else LARGEST:
            arguments = (size, way, folder / f"{size}-{WAYS.index(way)}")
            done = apart(write, *arguments) if size >= APART_FROM else here(write, *arguments)
            measured[size, way] = done
            shutil.rmtree(arguments[-1])
            rows.append(as_row(size, way, done))
    for row in rows:
        same = measured.get((row["references"], JSON))
        row["JSON / this"] = same.value["seconds"] / row["write + commit, s"] if same else "-"
    floors = floors_at(max(size for size in sizes if size <= KERCHUNK_UP_TO), measured)
    yield Table(
        "Writing references",
        "One array of chunks of one step, 100 references a file, URLs of about 100 bytes; from "
        f"{APART_FROM:,} on each in a process of its own, whose peak memory includes the "
        f"references. Split: {SPLIT} steps a manifest. Kerchunk stops at 1 million: both of its "
        "formats grow linearly.",
        rows,
        floors,
    )


def write(references: int, way: str, folder: Path) -> dict[str, float]:
    """Make references and write them; seconds without the making, and bytes on disk."""
    folder.mkdir()
    vds = global_fields(references // math.prod(TILES))
    start = time.perf_counter()
    if way in (JSON, PARQUET):
        form = "json" if way == JSON else "parquet"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas, in kerchunk
            vds.vz.to_kerchunk(folder / f"references.{form}", format=form)
        written = time.perf_counter()
    else:
        split = SPLIT if way in (SPLIT_UP, PLAIN) else None
        config = configuration(split=split, plain_locations=way == PLAIN)
        storage = icechunk.local_filesystem_storage(str(folder / "repository"))
        session = icechunk.Repository.create(storage, config).writable_session("main")
        vds.vz.to_icechunk(
            session.store,
            validate_containers=way != UNVALIDATED,
            last_updated_at=datetime.now(UTC),
        )
        written = time.perf_counter()
        session.commit("all")
    end = time.perf_counter()
    return {"seconds": end - start, "commit": end - written, "bytes": size_of(folder)}


def as_row(references: int, way: str, measured: Measured) -> dict[str, str | int | float]:
    kerchunk = way in (JSON, PARQUET)
    return {
        "references": references,
        "written as": way,
        "write + commit, s": measured.value["seconds"],
        "commit, s": "-" if kerchunk else measured.value["commit"],
        "peak memory, bytes a reference": measured.peak_bytes / references or "-",
        "on disk, bytes a reference": measured.value["bytes"] / references,
    }


def floors_at(size: int, measured: dict[tuple[int, str], Measured]) -> list[Floor]:
    json, plain = measured[size, JSON], measured[size, PLAIN]
    usual = measured[size, VALIDATED]
    memory = max(measured[size, way].peak_bytes for way in (VALIDATED, SPLIT_UP, PLAIN))
    million = f"{size:,} references"
    return [
        Floor(f"{million}: peak bytes a reference", memory / size, 1_500),
        Floor(
            f"{million}: kerchunk JSON, times the seconds of Icechunk split and plain",
            json.value["seconds"] / plain.value["seconds"],
            10,
            at_least=True,
            why="Icechunk compresses each URL by itself; see README.md",
        ),
        Floor(
            f"{million}: kerchunk JSON, times the bytes of Icechunk",
            json.value["bytes"] / usual.value["bytes"],
            5,
            at_least=True,
        ),
    ]
