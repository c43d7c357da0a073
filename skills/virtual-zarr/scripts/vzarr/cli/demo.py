"""The command ``demo``."""

from __future__ import annotations

import argparse
from pathlib import Path

from vzarr.cli.options import Commands, Parser


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    demo = commands.add_parser(
        "demo",
        parents=[shared],
        help="make a month of sample files, build, verify",
    )
    demo.add_command_help(
        "Make a month of sample files, build a repository over them, compare every "
        "value, and print how to open it.",
        "demo",
        "demo --dir sample",
    )
    demo.add_argument("--dir", default="virtual-zarr-demo", help="folder to make")


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.changes.build import build
    from vzarr.cli.output import opening_code, print_result, progress_printer
    from vzarr.commands.demo import write_month
    from vzarr.commands.verify import verify_repository
    from vzarr.errors import InputError
    from vzarr.sources.schemes import Access

    folder = Path(options.dir).absolute()
    if folder.exists():
        raise InputError(f"{folder}: exists already. Remove it, or name another with --dir.")
    files = write_month(folder / "data")
    location = str(folder / "t2m.icechunk")
    access = Access()
    built = build(
        [str(file) for file in files],
        location,
        access,
        message="January 2024",
        prefixes=(str(folder / "data"),),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    report = verify_repository(
        location, access, sample=None, progress=progress_printer("verified", options.quiet)
    )
    lines = [
        f"{len(files)} files in {folder / 'data'}, {built.references} references in {location}",
        f"{'passed' if report.passed else 'failed'}: {report.values} values compared",
        *(f"FAILED {failure}" for failure in report.failures),
        "",
        "Open it:",
        "",
        *opening_code(location, built.containers[0]),
    ]
    result = {"built": built.as_json(), "verified": report.as_json()}
    print_result(result, lines, options.json)
    return 0 if report.passed else 1
