"""The command ``remove``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of, add_message

EXAMPLES = """\
examples:
  virtual_zarr.py remove era5.icechunk data/2024-01-03.nc
  virtual_zarr.py remove era5.icechunk --records ..2023-12-31
  virtual_zarr.py remove era5.icechunk --records 2024-05-01T06..2024-05-01T12 --gap
  virtual_zarr.py remove era5.icechunk --index 0..23 --dry-run

Both ends are included; either may be left out. A date stands for all of its day.
"""


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    remove = commands.add_parser(
        "remove",
        parents=[shared, remote],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help="take files or records out of a repository",
        description="Take bad, withdrawn or outdated files or records out, in one commit. The\n"
        "files need not be there any more. Older commits and tags show them as before;\n"
        "append leaves them out from then on, unless it is given nothing else.",
        epilog=EXAMPLES,
    )
    remove.add_argument("repo", metavar="REPO", help="path or URL of the repository")
    remove.add_argument("files", nargs="*", metavar="FILE", help="path, glob or URL of sources")
    remove.add_argument(
        "--records", metavar="FIRST..LAST", help="by values of the record coordinate"
    )
    remove.add_argument("--index", metavar="FIRST..LAST", help="by number, from 0 on")
    remove.add_argument(
        "--gap", action="store_true", help="leave their place in the axis, with all data missing"
    )
    remove.add_argument("--dry-run", action="store_true", help="only say what would go")
    add_message(remove)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.output import print_result, progress_printer
    from vzarr.commands.remove import remove
    from vzarr.text import shell_word

    done = remove(
        options.repo,
        access_of(options),
        options.files,
        records=options.records,
        index=options.index,
        leave_gap=options.gap,
        dry_run=options.dry_run,
        message=options.message,
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    steps = ", ".join(
        f"{count} of {done.left[group] + (0 if done.is_gap else count)}"
        + (f" in {group}" if len(done.records) > 1 else "")
        for group, count in done.records.items()
    )
    would = "would be " if options.dry_run else ""
    became = f"{would}missing" if done.is_gap else f"{would}removed"
    if done.records:
        result = f"snapshot {done.snapshot}" if done.snapshot else "nothing was committed"
        first = f"{done.repository}: {steps} records {became}; {result}"
    else:
        first = f"{done.repository}: nothing is left to remove; nothing was committed"
    lines = [
        first,
        *(f"removed: {url}" for url in done.files[:20]),
        *([f"and {len(done.files) - 20} more"] if len(done.files) > 20 else []),
        *(f"{count} records of {url}" for url, count in done.partly.items()),
        *(f"removed before: {url}" for url in done.absent),
        *done.notes,
    ]
    if done.snapshot:
        back = f"virtual_zarr.py rollback {shell_word(options.repo)} --to {done.before}"
        lines.append(f"to take it back: {back}")
    print_result(done.as_json(), lines, options.json)
    return 0
