"""The command ``tag``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    tag = commands.add_parser(
        "tag",
        parents=[shared, remote],
        help="name a commit for good",
    )
    tag.add_command_help(
        "Name a commit for good: readers open it by its tag, and expire keeps it. A "
        "tag never moves, and the name of a deleted one cannot be used again.",
        "tag era5.icechunk v2024.1",
        "tag era5.icechunk v2024.1 --delete",
    )
    tag.add_argument("repo", metavar="REPO", help="path or URL of the repository")
    tag.add_argument("name", metavar="NAME", help="name of the tag, as v2024.1")
    where = tag.add_mutually_exclusive_group()
    where.add_argument("--branch", default="main", help="branch whose commit (default: main)")
    where.add_argument("--snapshot", help="snapshot, as log lists them")
    where.add_argument("--delete", action="store_true", help="delete this tag")


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.output import print_result
    from vzarr.commands.tag import tag

    done = tag(
        options.repo,
        access_of(options),
        options.name,
        branch=options.branch,
        snapshot=options.snapshot,
        delete=options.delete,
    )
    what = "deleted; it named" if done.is_deleted else "names"
    print_result(done.as_json(), [f"tag {done.tag}: {what} {done.snapshot}"], options.json)
    return 0
