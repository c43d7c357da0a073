"""The command ``add``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of, add_message, add_prefix, add_workers

EPILOG = """\
examples:
  virtual_zarr.py add tmax_*.nc --repo daymet.icechunk
  virtual_zarr.py append prcp_2025.nc tmax_2025.nc --repo daymet.icechunk
"""


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    add = commands.add_parser(
        "add",
        parents=[shared, remote],
        help="put variables of other files beside those of a repository",
        description="""\
Put the variables of files of another product beside those that a repository has, where records and
grid are the same: all files or none, in one commit, compared before. Records without a file are
missing there. append takes files of all products afterwards.""",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    add.add_argument("--repo", required=True, help="path or URL of the repository")
    add.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out this variable of the files; remembered",
    )
    add_message(add)
    add_prefix(add)
    add_workers(add)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import print_result, progress_printer
    from vzarr.commands.add import add

    done = add(
        options.files,
        options.repo,
        access_of(options),
        drop=tuple(options.drop),
        message=options.message,
        workers=options.workers,
        dask=options.dask,
        prefixes=tuple(options.prefix),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    new = f" with {', '.join(done.variables)}" if done.variables else ""
    result = f"snapshot {done.snapshot}" if done.snapshot else "nothing new, nothing committed"
    lines = [
        f"{done.repository}: {len(done.added)} files added{new}, {len(done.known)} known already, "
        f"{done.references} references; {result}",
        *done.notes,
        *(f"readers have to authorize, too: {prefix}" for prefix in done.containers),
    ]
    print_result(done.as_json(), lines, options.json)
    return 0
