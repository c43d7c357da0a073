"""The command ``log``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vzarr.cli.options import Commands, Parser, access_of, add_repository, moment, positive

if TYPE_CHECKING:
    from vzarr.repository.commits import Commit


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    log = commands.add_parser(
        "log",
        parents=[shared, remote],
        help="list the commits of a repository",
    )
    log.add_command_help(
        "List the commits of any Icechunk repository, the newest first: when, by which "
        "command, how many files it added, replaced or removed, and its message.",
        "log era5.icechunk -n 10",
        "log era5.icechunk --since 2024-05-31",
    )
    add_repository(log)
    log.add_argument("--branch", default="main", help="branch or tag to begin at (default: main)")
    log.add_argument(
        "-n", dest="count", type=positive, metavar="COMMITS", help="no more than this many"
    )
    log.add_argument(
        "--since", type=moment, metavar="TIME", help="none older than this, as 2024-05-31"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.output import print_result
    from vzarr.commands.log import read_log

    commits = read_log(
        options.repo,
        access_of(options),
        branch=options.branch,
        count=options.count,
        since=options.since,
    )
    lines = [line(commit) for commit in commits] or ["no commits"]
    print_result({"commits": [commit.as_json() for commit in commits]}, lines, options.json)
    return 0


def line(commit: Commit) -> str:
    """One commit, for a person."""
    counts = ", ".join(f"{count} {name}" for name, count in commit.counts.items())
    what = f"{commit.command}{f' ({counts})' if counts else ''}" if commit.command else "of others"
    names = [*commit.branches, *(f"tag {name}" for name in commit.tags)]
    marks = f" [{', '.join(names)}]" if names else ""
    return f"{commit.snapshot} {commit.written:%Y-%m-%d %H:%M} {what}: {commit.message}{marks}"
