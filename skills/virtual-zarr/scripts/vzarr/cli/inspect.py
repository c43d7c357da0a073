"""The command ``inspect``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from vzarr.cli.options import Commands, Parser, access_of, add_coordinates
from vzarr.text import aligned, drawing

if TYPE_CHECKING:  # the libraries behind them take seconds, and every --help comes by here
    from vzarr.combine.file_sets import FileSet
    from vzarr.commands.inspect import Inspected


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    inspect = commands.add_parser(
        "inspect",
        parents=[shared, remote],
        help="say what files hold and which belong together",
    )
    inspect.add_command_help(
        "Read metadata and coordinates of files, and say which can stand side by side, "
        "what can be virtual, what build would refuse, and with which command to build. Goes on "
        "past files that cannot be read; ends with status 1 if there are any.",
        "inspect data/*.nc",
        "inspect 's3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc' --anonymous",
    )
    inspect.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    inspect.add_argument("--concat-dim", help="dimension (or scalar variable) to combine along")
    add_coordinates(inspect)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import print_result, progress_printer
    from vzarr.commands.inspect import inspect_files

    inspected = inspect_files(
        options.files,
        access_of(options),
        concat_dim=options.concat_dim,
        coord=tuple(options.coord),
        coord_table=options.coord_table,
        progress=progress_printer("inspected", options.quiet),
    )
    print_result(inspected.as_json(), as_lines(inspected), options.json)
    return 1 if inspected.unreadable else 0


def as_lines(inspected: Inspected, shown_sets: int = 10) -> list[str]:
    """The report for a person."""
    lines: list[str] = []
    for number, file_set in enumerate(inspected.sets[:shown_sets]):
        lines += [*_set_lines(file_set, number, len(inspected.sets)), ""]
    if len(inspected.sets) > shown_sets:
        lines += [f"{len(inspected.sets) - shown_sets} more sets: --json lists them", ""]
    if inspected.unreadable:
        lines += [f"{len(inspected.unreadable)} files cannot be used:"]
        lines += _some([f"  {reason}" for reason in inspected.unreadable.values()])
    return lines


def _set_lines(file_set: FileSet, number: int, total: int) -> list[str]:
    from vzarr.formats.registry import FORMATS

    title = FORMATS[file_set.file_format].title
    along = f" along {file_set.along}" if file_set.along else ""
    span = f": {file_set.begin} to {file_set.end}" if file_set.begin is not None else ""
    step = f", step {file_set.step}" if file_set.step else ""
    lines = [
        f"set {number + 1} of {total}: {len(file_set.files)} {title} files, "
        f"{file_set.bytes / 1e6:,.1f} MB, {file_set.references:,} references{along}{span}{step}",
        f"  first {file_set.files[0]}",
    ]
    if file_set.timeline is not None and not file_set.timeline.is_whole:
        lines.append(f"  |{drawing(sys.stdout, file_set.timeline.as_text())}|")
    lines += [f"  {line}" for line in _table(file_set)]
    reasons = [
        f"{path} {'must be left out' if v.storage == 'dropped' else 'is copied'}: {v.reason}"
        for path, v in file_set.variables.items()
        if v.reason
    ]
    lines += [f"  {reason}" for reason in reasons]
    for what, items in (
        ("overlap: ", file_set.overlaps),
        ("gap: ", file_set.gaps),
        ("partial chunks: ", file_set.partial_chunks),
        ("plan: ", _plan(file_set)),
        ("differs from set 1: ", file_set.differences),
        ("no variable, but a placeholder: ", file_set.placeholders),
        ("", file_set.notes),
    ):
        lines += [f"  {what}{item}" for item in _some(items)]
    if file_set.build:
        lines.append(f"  build: {file_set.build}")
    if file_set.combine:
        lines.append(f"  combine: {file_set.combine}")
    return lines


def _plan(file_set: FileSet) -> list[str]:
    """What becomes of variables whose chunks fill no regular grid."""
    return [
        f"{path}: {' or '.join(f'{_option(way.kind)} {way}' for way in ways)}"
        if len(ways) > 1
        else f"{path}: {ways[0]}"
        for path, ways in file_set.ways.items()
    ]


def _option(kind: str) -> str:
    return {"raw": "--packing", "partly": "--irregular copy,"}.get(kind, "--irregular")


def _some(items: list[str]) -> list[str]:
    from vzarr.commands.inspect import SHOWN

    more = [f"... and {len(items) - SHOWN} more"] if len(items) > SHOWN else []
    return [*items[:SHOWN], *more]


def _table(file_set: FileSet) -> list[str]:
    rows = [("variable", "dims", "shape", "chunks", "dtype", "codecs", "encoding", "storage")]
    for path, variable in file_set.variables.items():
        rows.append(
            (
                path,
                " ".join(variable.dims) or "-",
                "x".join(map(str, variable.shape)) or "-",
                "x".join(map(str, variable.chunks or ())) or "-",
                variable.dtype or "-",
                "+".join(variable.codecs) or "-",
                " ".join(f"{k}={_brief(v)}" for k, v in variable.encoding.items()) or "-",
                variable.storage,
            )
        )
    return aligned(rows)


def _brief(value: Any) -> str:
    from vzarr.virtualize.describe import json_value

    shown = json_value(value)
    text = repr(shown) if " " in str(value) else str(shown)
    return text if len(text) <= 40 else f"{text[:37]}..."
