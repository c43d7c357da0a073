"""The command ``rollback``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of, add_repository


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    rollback = commands.add_parser(
        "rollback",
        parents=[shared, remote],
        help="show an earlier commit again",
    )
    rollback.add_command_help(
        "Let a branch show an earlier commit of its own, or a tag. Nothing is deleted: "
        "the commits that are left can be shown again until expire removes them.",
        "rollback era5.icechunk --to v1 --dry-run",
        "rollback era5.icechunk --to VRS4N1Q0K8Z2M6XJ5T3G",
    )
    add_repository(rollback)
    rollback.add_argument(
        "--to", required=True, metavar="SNAPSHOT", help="snapshot, as log lists them, or tag"
    )
    rollback.add_argument("--branch", default="main", help="branch to change (default: main)")
    rollback.add_argument("--dry-run", action="store_true", help="only say what would be undone")


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.log import line
    from vzarr.cli.output import print_result
    from vzarr.commands.rollback import rollback
    from vzarr.text import shell_word

    done = rollback(
        options.repo,
        access_of(options),
        options.to,
        branch=options.branch,
        dry_run=options.dry_run,
    )
    lines = [f"undone: {line(commit)}" for commit in done.undone]
    if done.left == done.now:
        lines.append(f"{done.branch} shows {done.now} already; nothing was changed")
    elif not done.is_done:
        lines.append(f"{done.branch} would show {done.now} instead of {done.left}")
    else:
        back = f"virtual_zarr.py rollback {shell_word(options.repo)} --to {done.left}"
        lines.append(f"{done.branch} shows {done.now}; to take it back: {back}")
    print_result(done.as_json(), lines, options.json)
    return 0
