"""The command ``report``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of, check_applies


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    report = commands.add_parser(
        "report",
        parents=[shared, remote],
        help="show a repository, or files before a build, as one page of HTML",
    )
    report.add_command_help(
        "Write one page, without scripts and without the network: coverage with gaps "
        "and overlaps, what is virtual, requests of a series and of a map, history, what readers "
        "need, xarray's view. Of a repository, or of files as inspect reads them.",
        "report era5.icechunk --verify",
        "report data/*.nc --out plan.html",
    )
    report.add_argument("what", nargs="+", metavar="REPO|FILE", help="a repository, or files")
    report.add_argument("--out", default="report.html", metavar="FILE", help="default: report.html")
    report.add_argument(
        "--verify", action="store_true", help="compare with the sources, and show what differs"
    )
    report.add_argument("--concat-dim", help="of files: dimension to combine along")


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.cli.output import print_result, progress_printer
    from vzarr.commands.inspect import inspect_files
    from vzarr.commands.log import read_log
    from vzarr.commands.report import check_out, is_repository, write_page
    from vzarr.commands.show import show
    from vzarr.commands.verify import verify_repository
    from vzarr.reports.files import report_files
    from vzarr.reports.store import report_store

    check_out(options.out)
    access = access_of(options)
    location = options.what[0]
    passed = None
    if len(options.what) == 1 and is_repository(location, access):
        check_applies("--concat-dim", bool(options.concat_dim), "with files")
        shown, commits = show(location, access), read_log(location, access)
        verified = None
        if options.verify:
            progress = progress_printer("compared", options.quiet)
            verified = verify_repository(location, access, progress=progress)
            passed = verified.passed
        page = report_store(location, access, shown, commits, verified)
    else:
        check_applies("--verify", options.verify, "with a repository")
        progress = progress_printer("inspected", options.quiet)
        inspected = inspect_files(
            options.what, access, concat_dim=options.concat_dim, progress=progress
        )
        page = report_files(inspected)
    written = write_page(page, options.out, passed)
    verdict = {None: "", True: "; verification passed", False: "; verification FAILED"}[passed]
    print_result(
        written.as_json(), [f"{written.file}: {written.bytes:,} bytes{verdict}"], options.json
    )
    return 1 if passed is False else 0
