"""The command ``refresh``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import (
    Commands,
    Parser,
    access_of,
    add_message,
    add_repository,
    check_applies,
)


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    refresh = commands.add_parser(
        "refresh",
        parents=[shared, remote],
        help="follow sources that changed or moved",
    )
    refresh.add_command_help(
        "Find sources that changed since they were committed, and commit their new "
        "state. With --from and --to: let references lead to where the archive is now. Checked and "
        "compared before the commit, as build does.",
        "refresh era5.icechunk --dry-run",
        "refresh era5.icechunk --from s3://old/era5/ --to s3://new/era5/",
    )
    add_repository(refresh)
    refresh.add_argument("--dry-run", action="store_true", help="only say what changed")
    refresh.add_argument(
        "--content", action="store_true", help="compare values of files that look unchanged, too"
    )
    refresh.add_argument("--from", dest="old", metavar="PREFIX", help="where the sources were")
    refresh.add_argument("--to", dest="new", metavar="PREFIX", help="where they are now")
    refresh.add_argument("--all", action="store_true", help="with --to: compare every file")
    add_message(refresh)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import print_result, progress_printer
    from vzarr.commands.refresh import refresh
    from vzarr.commands.relocate import repoint
    from vzarr.errors import InputError

    if (options.old is None) != (options.new is None):
        raise InputError("--from and --to belong together: the old place and the new one.")
    moves = options.old is not None
    check_applies("--all", options.all and not moves, "with --from and --to")
    check_applies("--content", options.content and moves, "without --from and --to")
    access = access_of(options)
    common = {
        "dry_run": options.dry_run,
        "message": options.message,
        "progress": lambda phase: progress_printer(phase, options.quiet),
    }
    if not moves:
        result = refresh(options.repo, access, content=options.content, **common)
    else:
        result = repoint(
            options.repo, access, options.old, options.new, everything=options.all, **common
        )
    done = f"{result.references} references renewed, snapshot {result.snapshot}"
    lines = [
        *(f"{url}: {what}" for url, what in [*result.changed.items(), *result.vanished.items()]),
        *(f"note: {note}" for note in result.notes),
        f"{result.repository}: {len(result.changed)} of {result.sources} sources changed, "
        f"{len(result.vanished)} missing; {done if result.snapshot else 'nothing was committed'}",
    ]
    print_result(result.as_json(), lines, options.json)
    return 0
