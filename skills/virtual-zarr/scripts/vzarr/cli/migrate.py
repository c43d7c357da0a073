"""The command ``migrate``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of, add_allow_copy, add_message, add_prefix


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    migrate = commands.add_parser(
        "migrate",
        parents=[shared, remote],
        help="make a repository of Kerchunk references",
    )
    migrate.add_command_help(
        "Make a new repository of Kerchunk references in JSON or Parquet. Every "
        "reference is checked, and values compared with the files that they lead to.",
        "migrate refs/*.json --repo era5.icechunk --concat-dim time",
        "migrate era5.parquet --repo era5.icechunk --from s3://old/ --to s3://new/",
    )
    migrate.add_argument("references", nargs="+", metavar="REFERENCES", help="JSON or Parquet")
    migrate.add_argument("--repo", required=True, help="where to create it: a path or URL")
    migrate.add_argument("--concat-dim", help="dimension along which several references lie")
    migrate.add_argument(
        "--from", dest="old", metavar="PREFIX", help="with what the URLs of references begin"
    )
    migrate.add_argument("--to", dest="new", metavar="PREFIX", help="with what they begin now")
    migrate.add_argument("--drop", action="append", default=[], help="leave out a variable")
    migrate.add_argument("--all", action="store_true", help="compare every file (default: 5)")
    add_allow_copy(migrate)
    add_message(migrate)
    add_prefix(migrate)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import mostly_copy, print_result, progress_printer, reasons
    from vzarr.combine.copied import show_bytes
    from vzarr.commands.migrate import migrate
    from vzarr.errors import InputError

    if (options.old is None) != (options.new is None):
        raise InputError("--from and --to belong together: the old place and the new one.")
    built = migrate(
        options.references,
        options.repo,
        access_of(options),
        moved=None if options.old is None else (options.old, options.new),
        concat_dim=options.concat_dim,
        drop=tuple(options.drop),
        everything=options.all,
        allow_copy=options.allow_copy,
        message=options.message,
        prefixes=tuple(options.prefix),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    lines = [
        *mostly_copy(built.share),
        f"{built.repository}: {built.references} references to {len(built.sources)} files, "
        f"snapshot {built.snapshot}",
        f"virtual: {', '.join(built.virtual) or 'nothing'}",
        f"coordinates, stored as numbers: {', '.join(built.loaded) or 'none'}",
        *([f"readers authorize: {', '.join(built.containers)}"] * bool(built.virtual)),
        *reasons(f"stored natively, {show_bytes(built.share.native)}", built.native),
        *reasons("dropped", built.dropped),
        *(f"note: {note}" for note in built.notes),
    ]
    print_result(built.as_json(), lines, options.json)
    return 0
