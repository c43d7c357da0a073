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

from benchmarks.manifests import (
    MANIFESTS_A_COMMIT,
    TILES,
    configuration,
    global_fields,
    parts,
    size_of,
)
from benchmarks.measuring import Floor, Measured, Table, apart, here

SIZES = (10_000, 1_000_000, 5_000_000)
SMALL_SIZES = (1_000, 10_000)
KERCHUNK_UP_TO = 1_000_000
"""Five million would take a minute in each format, and add nothing: both grow linearly."""
APART_FROM = 100_000
"""Below, imports would be most of a process's time and memory."""
SPLIT = 600
"""Steps a manifest: 60,000 references, below the 65,535 up to which locations may stay plain."""
FINE_SPLIT = 120
"""Steps a manifest: 12,000 references, 84 manifests of a million."""

VALIDATED, UNVALIDATED = "Icechunk", "Icechunk, containers not validated"
SPLIT_UP, PLAIN = "Icechunk, split", "Icechunk, split, plain locations"
FINE, IN_PARTS = "Icechunk, finely split", "Icechunk, finely split, in several commits"
JSON, PARQUET = "kerchunk JSON", "kerchunk Parquet"
WAYS = (VALIDATED, UNVALIDATED, SPLIT_UP, PLAIN, FINE, IN_PARTS, JSON, PARQUET)
SPLITS = {SPLIT_UP: SPLIT, PLAIN: SPLIT, FINE: FINE_SPLIT, IN_PARTS: FINE_SPLIT}
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
        f"references. Split: {SPLIT} steps a manifest, finely {FINE_SPLIT}; several commits of "
        f"{MANIFESTS_A_COMMIT} manifests each. Kerchunk stops at 1 million: both of its "
        "formats grow linearly.",
        rows,
        floors,
    )


def write(references: int, way: str, folder: Path) -> dict[str, float]:
    """Make references and write them; seconds without the making, and bytes on disk."""
    folder.mkdir()
    steps, split = references // math.prod(TILES), SPLITS.get(way)
    commits = parts(steps, split) if way == IN_PARTS else [(0, steps)]
    datasets = [global_fields(count, first) for first, count in commits]
    start = time.perf_counter()
    committing = 0.0
    if way in (JSON, PARQUET):
        (vds,) = datasets
        form = "json" if way == JSON else "parquet"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas, in kerchunk
            vds.vz.to_kerchunk(folder / f"references.{form}", format=form)
    else:
        config = configuration(split=split, plain_locations=way == PLAIN)
        storage = icechunk.local_filesystem_storage(str(folder / "repository"))
        repo = icechunk.Repository.create(storage, config)
        for number, vds in enumerate(datasets):
            session = repo.writable_session("main")
            vds.vz.to_icechunk(
                session.store,
                append_dim="time" if number else None,
                validate_containers=way != UNVALIDATED,
                last_updated_at=datetime.now(UTC),
            )
            written = time.perf_counter()
            session.commit(f"part {number}")
            committing += time.perf_counter() - written
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "commit": committing, "bytes": size_of(folder)}


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
