"""The command ``log``."""

from __future__ import annotations

import argparse
import sys
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
        "Draw the commits of all branches and tags of any Icechunk repository, the newest first: "
        "when, by which command, how many files it added, replaced or removed, and its message. "
        "With --json: those of main, and the others in a list of their own.",
        "log era5.icechunk -n 10",
        "log era5.icechunk --branch main --since 2024-05-31",
    )
    add_repository(log)
    log.add_argument("--branch", help="only this branch or tag (default: all)")
    log.add_argument(
        "-n", dest="count", type=positive, metavar="COMMITS", help="no more than this many"
    )
    log.add_argument(
        "--since", type=moment, metavar="TIME", help="none older than this, as 2024-05-31"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.commit_graph import ASCII, LINES, draw
    from vzarr.cli.output import print_result
    from vzarr.commands.log import Graph, read_graph, read_log
    from vzarr.text import can_show

    access = access_of(options)
    limits = {"count": options.count, "since": options.since}
    if options.branch is None:
        graph = read_graph(options.repo, access, **limits)
    else:
        commits = read_log(options.repo, access, branch=options.branch, **limits)
        graph = Graph(commits, commits, [])
    signs = LINES if can_show(sys.stdout, "".join(vars(LINES).values())) else ASCII
    print_result(graph.as_json(), draw(graph.every, line, signs) or ["no commits"], options.json)
    return 0


def line(commit: Commit) -> str:
    """One commit, for a person."""
    counts = ", ".join(f"{count} {name}" for name, count in commit.counts.items())
    what = f"{commit.command}{f' ({counts})' if counts else ''}" if commit.command else "of others"
    names = [*commit.branches, *(f"tag {name}" for name in commit.tags)]
    marks = f" [{', '.join(names)}]" if names else ""
    return f"{commit.snapshot} {commit.written:%Y-%m-%d %H:%M} {what}: {commit.message}{marks}"
