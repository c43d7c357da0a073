"""The command ``expire``."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

from vzarr.cli.options import Commands, Parser, access_of, add_repository, moment


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    expire = commands.add_parser(
        "expire",
        parents=[shared, remote],
        help="forget old commits, delete what nothing needs",
    )
    expire.add_command_help(
        "Let history begin at a time, and delete what nothing refers to any more. "
        "Branches and tags keep what they show, and all sources stay known. Without --delete it "
        "only says what would go.",
        "expire era5.icechunk --older-than 30d",
        "expire era5.icechunk --older-than 30d --delete",
    )
    add_repository(expire)
    expire.add_argument(
        "--older-than",
        type=age,
        required=True,
        metavar="TIME",
        help="forget commits older than this: days as 30d, or a time as 2024-05-31",
    )
    expire.add_argument("--delete", action="store_true", help="do it; this cannot be undone")


def age(text: str) -> datetime:
    """A time, or one that lies so many days back."""
    if days := re.fullmatch(r"(\d{1,6})d", text):
        return datetime.now(UTC) - timedelta(days=int(days[1]))
    return moment(text)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.output import print_result
    from vzarr.combine.copied import show_bytes
    from vzarr.commands.expire import expire

    done = expire(options.repo, access_of(options), options.older_than, delete=options.delete)
    count = len(done.snapshots)
    if done.bytes_after is None:
        lines = [
            f"{done.repository}: {count} commits are older than {done.older_than:%Y-%m-%d %H:%M}, "
            f"and no branch or tag shows them; it has {show_bytes(done.bytes_before)}",
            "nothing was changed: --delete does it, and cannot be undone",
        ]
    else:
        told = ", ".join(f"{number} {what}" for what, number in done.deleted.items())
        lines = [
            f"{done.repository}: {count} commits expired, deleted {told}; "
            f"{show_bytes(done.bytes_before)} before, {show_bytes(done.bytes_after)} now",
            *(f"note: {note}" for note in done.notes),
        ]
    print_result(done.as_json(), lines, options.json)
    return 0
