"""The command ``append``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import (
    Commands,
    Parser,
    access_of,
    add_coordinates,
    add_irregular,
    add_message,
    add_overlap,
    add_prefix,
    add_workers,
)


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    append = commands.add_parser(
        "append",
        parents=[shared, remote],
        help="append new files to a repository",
    )
    append.add_command_help(
        "Append files that the repository does not hold yet, in one commit; those that arrive late "
        "go where they belong, in a second one; nothing is committed when nothing is new. Refuses "
        "files that would read wrong there; compares before it commits. Files that were written "
        "again with the same content get a new checksum. Safe to run from cron, also twice at "
        "once.",
        "append data/*.nc --repo era5.icechunk",
        "append data/*.nc --repo era5.icechunk --replace",
    )
    append.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    append.add_argument("--repo", required=True, help="path or URL of the repository")
    append.add_argument(
        "--replace",
        action="store_true",
        help="write files that were issued again in the place of the old ones; the last file may "
        "have grown",
    )
    append.add_argument(
        "--insert",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="put files that arrive late where they belong, before the first, too (the default); "
        "or leave them out, and take the others",
    )
    append.add_argument(
        "--drop",
        action="append",
        default=[],
        metavar="NAME",
        help="leave out this variable, which the files have and the repository lacks; the "
        "repository remembers it (default: the variable begins with them, missing before)",
    )
    append.add_argument("--skip-bad", action="store_true", help="leave out files that do not fit")
    append.add_argument(
        "--source",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="files that a repository was made of that build did not make: take it over if it "
        "reads as they do",
    )
    add_irregular(append)
    add_overlap(append)
    add_coordinates(append, formats=False)
    add_message(append)
    add_prefix(append)
    add_workers(append)


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import print_result, progress_printer, reasons, way_lines
    from vzarr.commands.append import append

    done = append(
        options.files,
        options.repo,
        access_of(options),
        replace_known=options.replace,
        insert=options.insert,
        skip_bad=options.skip_bad,
        made_of=tuple(options.source),
        message=options.message,
        workers=options.workers,
        dask=options.dask,
        irregular=options.irregular,
        overlap=options.overlap,
        coord_table=options.coord_table,
        drop=tuple(options.drop),
        prefixes=tuple(options.prefix),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    known_as = {
        **{url: f"is there as {other}" for url, other in done.known.items() if url != other},
        **{url: f"was replaced by {other}" for url, other in done.superseded.items()},
    }
    removed = "was removed; to take it again, name it without other files"
    known_as |= dict.fromkeys(done.removed, removed)
    known = len(done.known) + len(done.superseded) + len(done.removed)
    renewed = f"{len(done.renewed)} renewed, " if done.renewed else ""
    result = f"snapshot {done.snapshot}" if done.snapshot else "nothing new, nothing committed"
    inserted = f"{len(done.inserted)} inserted, " if done.inserted else ""
    lines = [
        f"{done.repository}: {len(done.appended)} files appended, {inserted}"
        f"{len(done.replaced)} replaced, {renewed}{known} known already, "
        f"{done.references} references; {result}",
        *way_lines(done.ways),
        *reasons("known", known_as),
        *(f"{path} begins: missing in the records before" for path in done.began),
        *done.notes,
        *(f"readers have to authorize, too: {prefix}" for prefix in done.containers),
        *(f"left out: {sentence}" for sentence in done.left_out),
        *(f"late, and left out: {sentence}" for sentence in done.late),
    ]
    print_result(done.as_json(), lines, options.json)
    return 2 if done.late and not options.skip_bad else 0
