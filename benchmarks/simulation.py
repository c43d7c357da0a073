"""How a repository of very many references behaves: manifests made in memory, no files behind them.

``python -m benchmarks.simulation --references 50_000_000`` writes in batches, opens, reads a value,
appends a step, and prints what each took. Run by hand: takes minutes, and 2 GB of disk.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import icechunk
import zarr

from benchmarks.manifests import TILES, configuration, global_fields, lead_to_a_file, size_of
from benchmarks.measuring import apart

NAMES = tuple(f"v{number:02d}" for number in range(10))
STEP = len(NAMES) * math.prod(TILES)
"""References a step: ten variables of 100 chunks."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("--references", type=int, default=50_000_000)
    parser.add_argument("--batch", type=int, default=600_000, help="references a write")
    parser.add_argument("--split", type=int, default=120, help="steps a manifest; 0: not split")
    parser.add_argument("--one-commit", action="store_true", help="all batches in one session")
    parser.add_argument("--compressed-locations", action="store_true", help="Icechunk's default")
    parser.add_argument("--keep-open", action="store_true", help="one Repository for all batches")
    parser.add_argument("--folder", type=Path, help="the repository goes into it")
    options = parser.parse_args()
    icechunk.set_logs_filter("error")

    packages = ", ".join(
        f"{name} {version(name)}" for name in ("virtualizarr", "icechunk", "zarr", "xarray")
    )
    print(f"{packages}. Python {platform.python_version()}, {os.cpu_count()} cores.", flush=True)
    with tempfile.TemporaryDirectory(prefix="simulation-", dir=options.folder) as folder:
        place = Path(folder)
        steps = options.references // STEP
        batch = max(1, options.batch // STEP)
        settings = (options.split, not options.compressed_locations, options.keep_open)
        measured = apart(write, place, steps, batch, options.one_commit, *settings)
        show("references", steps * STEP)
        show("write and commit, s", measured.value["seconds"])
        show("of it on a processor, s", measured.value["processor"])
        show("peak memory of the writer, MB", measured.peak_bytes / 1e6)
        show("bytes on disk, MB", size_of(place) / 1e6)
        show("bytes a reference", size_of(place) / (steps * STEP))
        for name, value in measured.value["phases"].items():
            show(name, value)
        read_first = apart(read, place, steps // 2)
        show("open, s", read_first.value["open"])
        show("first value, s", read_first.value["value"])
        show("peak memory of the reader, MB", read_first.peak_bytes / 1e6)
        for name in ("manifests", "largest manifest, references", "snapshot, MB"):
            show(name, read_first.value[name])
        before = size_of(place)
        appended = apart(append, place, steps)
        show("append one step, s", appended.value)
        show("peak memory of the append, MB", appended.peak_bytes / 1e6)
        show("bytes written by the append, MB", (size_of(place) - before) / 1e6)
        again = apart(read, place, steps)
        show("open after it, s", again.value["open"])
        show("value of the new step, s", again.value["value"])
    return 0


def show(name: str, value: float) -> None:
    print(f"{name}: {value:,.3f}" if isinstance(value, float) else f"{name}: {value:,}", flush=True)


def prefix_of(folder: Path) -> str:
    return f"file://{folder}/sources/"


def chunk_key(step: int) -> str:
    return f"{NAMES[0]}/c/{step}/0/0"


def write(
    folder: Path,
    steps: int,
    batch: int,
    one_commit: bool,
    split: int,
    plain: bool,
    keep_open: bool,
) -> dict[str, Any]:
    """All steps, a batch at a time, each committed by itself or all at the end.

    A ``Repository`` keeps about 170 bytes of every reference that it committed, whatever its
    ``CachingConfig`` says: the next batch opens it anew.
    """
    prefix = prefix_of(folder)
    config = configuration(prefix, split or None, plain_locations=plain)
    storage = icechunk.local_filesystem_storage(str(folder / "repository"))
    access = {prefix: icechunk.credentials.LocalFileSystemAccess}
    repo = icechunk.Repository.create(storage, config, authorize_virtual_chunk_access=access)
    repo.save_config()
    session = repo.writable_session("main")
    start, processor = time.perf_counter(), time.process_time()
    written: list[float] = []
    committed: list[float] = []
    for first in range(0, steps, batch):
        count = min(batch, steps - first)
        vds = global_fields(count, first, NAMES, prefix=prefix)
        before = time.process_time()
        along = {"append_dim": "time"} if first else {}
        vds.vz.to_icechunk(session.store, last_updated_at=datetime.now(UTC), **along)
        if first <= steps // 2 < first + count:
            lead_to_a_file(session.store, chunk_key(steps // 2), folder / "sources", steps // 2)
        between = time.process_time()
        written.append(between - before)
        if not one_commit:
            session.commit(f"steps {first} to {first + count}")
            if not keep_open:
                repo, _ = open_store(folder)
            session = repo.writable_session("main")
            committed.append(time.process_time() - between)
    if one_commit:
        before = time.process_time()
        session.commit(f"{steps} steps")
        committed.append(time.process_time() - before)
    phases = {
        "batches": len(written),
        "to_icechunk of the first batches, s on a processor": statistics.median(written[:5]),
        "to_icechunk of the last whole batches, s on a processor": statistics.median(
            written[-6:-1] or written
        ),
        "commit of the first batches, s on a processor": statistics.median(committed[:5]),
        "commit of the last whole batches, s on a processor": statistics.median(
            committed[-6:-1] or committed
        ),
    }
    return {
        "seconds": time.perf_counter() - start,
        "processor": time.process_time() - processor,
        "phases": phases,
    }


def open_store(folder: Path) -> tuple[icechunk.Repository, icechunk.IcechunkStore]:
    storage = icechunk.local_filesystem_storage(str(folder / "repository"))
    access = {prefix_of(folder): icechunk.credentials.LocalFileSystemAccess}
    repo = icechunk.Repository.open(storage, authorize_virtual_chunk_access=access)
    return repo, repo.readonly_session("main").store


def read(folder: Path, step: int) -> dict[str, Any]:
    """Open, and one value of the step that has a file."""
    start = time.perf_counter()
    repo, store = open_store(folder)
    array = zarr.open_group(store, mode="r")[NAMES[0]]
    opened = time.perf_counter()
    value = float(array[step, 0, 0])
    end = time.perf_counter()
    if value != step:
        raise ValueError(f"read {value} at step {step}")
    manifests = repo.list_manifest_files(store.session.snapshot_id)
    snapshot = folder / "repository" / "snapshots" / store.session.snapshot_id
    return {
        "open": opened - start,
        "value": end - opened,
        "manifests": len(manifests),
        "largest manifest, references": max(each.num_chunk_refs for each in manifests),
        "snapshot, MB": snapshot.stat().st_size / 1e6,
    }


def append(folder: Path, step: int) -> float:
    """One more step of all variables: seconds."""
    vds = global_fields(1, step, NAMES, prefix=prefix_of(folder))
    repo, _ = open_store(folder)
    start = time.perf_counter()
    session = repo.writable_session("main")
    vds.vz.to_icechunk(session.store, append_dim="time", last_updated_at=datetime.now(UTC))
    lead_to_a_file(session.store, chunk_key(step), folder / "sources", step)
    session.commit("one more step")
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
