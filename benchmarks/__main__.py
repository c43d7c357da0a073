"""Print all tables: ``python -m benchmarks`` (``--small``: minutes become seconds, no floors)."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.measuring import Table
from benchmarks.results import as_json

TOPICS = (
    *("parsing", "parallel", "combining", "writing", "appending", "operations", "reading"),
    *("distributed", "irregular", "share"),
)
PACKAGES = ("virtualizarr", "icechunk", "xarray", "zarr", "obstore", "obspec-utils", "kerchunk")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("topics", nargs="*", choices=[*TOPICS, []], help="default: all")
    parser.add_argument("--small", action="store_true", help="small data, one round: a smoke test")
    parser.add_argument("--output", type=Path, help="write the tables to this file, too")
    parser.add_argument(
        "--json", type=Path, help="write the figures to this file, as data; its other topics stay"
    )
    options = parser.parse_args(arguments)
    os.environ.setdefault("ICECHUNK_LOG", "error")

    start = time.monotonic()
    python = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    parts = [f"# Benchmarks\n\n{packages}. {python}.\n"]
    topics: dict[str, tuple[float, list[Table]]] = {}
    print(parts[0], flush=True)
    broken = []
    for topic in options.topics or TOPICS:
        module = importlib.import_module(f"benchmarks.{topic}")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"benchmark-{topic}-") as folder:
            topics[topic] = (0.0, [])
            for table in module.tables(Path(folder), small=options.small):
                topics[topic][1].append(table)
                parts.append(table.as_markdown())
                print(parts[-1], flush=True)
                broken += [floor for floor in table.floors if not (floor.holds or floor.why)]
        topics[topic] = (time.monotonic() - begun, topics[topic][1])
        parts.append(f"{topic}: {topics[topic][0]:.0f} s.\n")
        print(parts[-1], flush=True)
    parts.append(f"{time.monotonic() - start:.0f} s in all.\n")
    print(parts[-1])
    if options.output:
        options.output.write_text("\n".join(parts))
    if options.json:
        options.json.write_text(as_json(f"{packages}. {python}.", topics, options.json))
    return 1 if broken and not options.small else 0


if __name__ == "__main__":
    sys.exit(main())
