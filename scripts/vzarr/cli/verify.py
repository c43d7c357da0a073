"""The command ``verify``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of, add_repository, check_applies, positive


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    verify = commands.add_parser(
        "verify",
        parents=[shared, remote],
        help="compare a repository with its sources",
    )
    verify.add_command_help(
        "Reopen a repository, compare decoded values with the source files, and check "
        "that data are virtual and sources unchanged. For one that build did not make, name the "
        "files with --source.",
        "verify era5.icechunk --all",
        "verify other.icechunk --source data/*.nc --concat-dim time",
    )
    add_repository(verify)
    amount = verify.add_mutually_exclusive_group()
    amount.add_argument("--all", action="store_true", help="compare every file")
    amount.add_argument(
        "--sample",
        type=positive,
        default=5,
        metavar="FILES",
        help="compare this many files (default: 5)",
    )
    verify.add_argument(
        "--source", nargs="+", action="extend", metavar="FILE", help="files that it was made of"
    )
    verify.add_argument("--concat-dim", help="with --source: dimension along which files lie")
    verify.add_argument(
        "--group", help="with --source: the group of the files that is the root of the store"
    )
    verify.add_argument(
        "--skip", action="append", default=[], help="with --source: do not compare this variable"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import print_result, progress_printer, reasons, way_lines
    from vzarr.commands.verify import verify_named, verify_repository

    if not options.source:
        for option, given in (
            ("--concat-dim", options.concat_dim),
            ("--group", options.group),
            ("--skip", options.skip),
        ):
            check_applies(option, bool(given), "with --source, which names the files")
    access = access_of(options)
    sample = None if options.all else options.sample
    progress = progress_printer("compared", options.quiet)
    if options.source:
        report = verify_named(
            options.repo,
            options.source,
            access,
            concat_dim=options.concat_dim,
            source_group=options.group,
            skip=tuple(options.skip),
            sample=sample,
            progress=progress,
        )
    else:
        report = verify_repository(options.repo, access, sample=sample, progress=progress)
    lines = [
        *report.notes,
        *(f"FAILED {failure}" for failure in report.failures),
        f"{'passed' if report.passed else 'failed'}: compared {report.values} values of "
        f"{report.compared} of {report.sources} files; virtual: {', '.join(report.virtual)}",
        *reasons("stored natively", report.native),
        *way_lines(report.ways),
        *reasons("dropped", report.dropped),
    ]
    print_result(report.as_json(), lines, options.json)
    return 0 if report.passed else 1
