#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.12"
# dependencies = [
#     "h5netcdf>=1.6",
#     "icechunk>=2.3",
#     "netcdf4>=1.7",
#     "obspec-utils>=0.9",
#     "obstore>=0.12",
#     "virtualizarr[hdf,icechunk]>=2.8",
#     "xarray>=2026.9",
#     "zarr>=3.4.2",
# ]
# ///
"""Build and verify virtual Zarr stores: one dataset over many files, not copied."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from vzarr.storage import Access

from vzarr.errors import ending, is_failure, stopped
from vzarr.process import STOPPED, check_memory, end_on_signals, finish_output, prepare_streams
from vzarr.text import printable, write

os.environ.setdefault("ICECHUNK_LOG", "error")  # read when icechunk is imported

EPILOG = """\
examples:
  virtual_zarr.py demo
  virtual_zarr.py inspect data/*.nc
  virtual_zarr.py build data/*.nc --repo era5.icechunk
  virtual_zarr.py build 's3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc' --anonymous \\
      --region us-east-1 --concat-dim t --repo goes.icechunk
  virtual_zarr.py build 's3://acme/2024/*.nc' --repo s3://acme-stores/2024 --dask tcp://host:8786
  virtual_zarr.py verify --repo era5.icechunk --all --json
  virtual_zarr.py append data/*.nc --repo era5.icechunk

places: paths, s3://, gs://, az:// (or abfs://); https:// for sources only.
credentials: the role or the variables of the environment; --anonymous for public buckets.
limits on what a file may declare; --limit NAME=VALUE, as in load=2GB, raises one, in each command
that reads the file:
{limits}
exit status: 0 done; 1 verification failed; 2 bad input, or refused; 3 storage or other failure,
or stopped (SIGINT, SIGTERM, SIGHUP; a second one ends at once).
VZARR_DEBUG=1 shows tracebacks.
"""


PACKAGES = (
    *("virtualizarr", "icechunk", "zarr", "xarray", "obstore", "obspec-utils", "h5netcdf"),
    *("netcdf4", "h5py", "numpy"),
)
"""What ``--version`` names: what decides how a store is written and read."""


class Parser(argparse.ArgumentParser):
    """Takes options by their whole name, with a value, once; says in one sentence what is wrong.

    An abbreviation would make ``--skip`` of build into ``--skip-bad``, and an empty value is that
    of a variable that is not set.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)
        self.register("action", None, Once)
        self.register("type", None, not_empty)

    def format_help(self) -> str:
        from vzarr.limits import describe_limits

        return super().format_help().replace("{limits}", "\n".join(describe_limits()))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"virtual_zarr.py: {printable(message)}. See {self.prog} --help.\n")


class Once(argparse.Action):
    """Keep a value; refuse a second one, which would silently take the first one's place."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("given", [])
        if self.dest in given:
            raise argparse.ArgumentError(self, "given more than once")
        given.append(self.dest)
        setattr(namespace, self.dest, values)


class Version(argparse.Action):
    """Print the tool's version and those of its packages, one on each line."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        import vzarr

        lines = [f"virtual_zarr.py {vzarr.__version__}", f"python {sys.version.split()[0]}"]
        for name in PACKAGES:
            try:
                lines.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                lines.append(f"{name} is missing")
        print("\n".join(lines))
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="virtual_zarr.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="of this tool and its packages")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.type = str  # the values behind a command are for its own parser to check
    shared = Parser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print the result as JSON")
    shared.add_argument("--quiet", action="store_true", help="no progress on stderr")
    shared.add_argument(
        "--limit",
        action="append",
        type=limit,
        default=[],
        metavar="NAME=VALUE",
        help="let files declare more; virtual_zarr.py --help has the names",
    )
    remote = Parser(add_help=False)
    remote.add_argument("--anonymous", action="store_true", help="sources are public: send no keys")
    remote.add_argument("--account", help="Azure account (default: AZURE_STORAGE_ACCOUNT_NAME)")
    remote.add_argument("--region", help="of the buckets (default: AWS_REGION, else us-east-1)")
    remote.add_argument(
        "--endpoint", metavar="URL", help="S3-compatible server (default: AWS_ENDPOINT_URL)"
    )
    remote.add_argument("--repo-endpoint", metavar="URL", help="the same, of the repository alone")
    remote.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PREFIX",
        help="a place beside those of the files that may be read, with credentials; remembered",
    )

    build = commands.add_parser(
        "build",
        parents=[shared, remote],
        help="make a repository of references to files",
        description="Make a new Icechunk repository of references to NetCDF, HDF5, GRIB, FITS, "
        "TIFF, HDF4, Zarr, Kerchunk or ENVI files. Refuses "
        "files that would read wrong side by side; compares a sample before it commits. After a "
        "stop the same command goes on where it stood.",
    )
    build.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    build.add_argument("--repo", required=True, help="where to create it: a path or URL")
    build.add_argument("--concat-dim", help="dimension (or scalar variable) to combine along")
    build.add_argument("--drop", action="append", default=[], help="leave out a variable or group")
    build.add_argument(
        "--group", action="append", default=[], help="take this group only (default: all)"
    )
    build.add_argument("--skip-bad", action="store_true", help="leave out files that do not fit")
    add_allow_copy(build)
    build.add_argument("--message", help="of the commit")
    add_prefix(build)
    add_workers(build)
    build.add_argument(
        "--batch", type=positive, metavar="FILES", help="files in a commit at most (default: 500)"
    )

    verify = commands.add_parser(
        "verify",
        parents=[shared, remote],
        help="compare a repository with its sources",
        description="Reopen a repository, compare decoded values with the source files, and check "
        "that data are virtual and sources unchanged. For one that build did not make, name the "
        "files with --source.",
    )
    verify.add_argument("--repo", required=True, help="path or URL of the repository")
    amount = verify.add_mutually_exclusive_group()
    amount.add_argument("--all", action="store_true", help="compare every file")
    amount.add_argument(
        "--sample", type=positive, default=5, metavar="FILES", help="compare so many (default: 5)"
    )
    verify.add_argument(
        "--source", nargs="+", action="extend", metavar="FILE", help="what it was made of"
    )
    verify.add_argument("--concat-dim", help="with --source: dimension along which files lie")
    verify.add_argument("--group", help="with --source: the files' group that is the store's root")
    verify.add_argument(
        "--skip", action="append", default=[], help="with --source: a variable not to compare"
    )
    add_inspect(commands, shared, remote)
    add_refresh(commands, shared, remote)
    add_migrate(commands, shared, remote)

    append = commands.add_parser(
        "append",
        parents=[shared, remote],
        help="append new files to a repository",
        description="Append files that the repository does not hold yet, behind the last one, in "
        "one commit; nothing is committed when nothing is new. Refuses files that would read wrong "
        "there; compares before it commits. Files that were written again with the same content "
        "get a new checksum. Safe to run from cron, also twice at once.",
    )
    append.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    append.add_argument("--repo", required=True, help="path or URL of the repository")
    append.add_argument(
        "--replace",
        action="store_true",
        help="write files that were issued again over the old; a last file may have grown",
    )
    append.add_argument("--skip-bad", action="store_true", help="leave out files that do not fit")
    append.add_argument(
        "--source",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="what a repository of others was made of: take it over if it reads as these do",
    )
    append.add_argument("--message", help="of the commit")
    add_prefix(append)
    add_workers(append)

    demo = commands.add_parser(
        "demo",
        parents=[shared],
        help="make a month of sample files, build, verify",
        description="Make a month of sample files, build a repository over them, compare every "
        "value, and print how to open it.",
    )
    demo.add_argument("--dir", default="virtual-zarr-demo", help="folder to make")
    return parser


def not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("its value is empty")
    return text


def positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number of at least 1")
    return number


def number_of_bytes(text: str) -> int:
    from vzarr.copying import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def limit(text: str) -> tuple[str, int]:
    from vzarr.limits import parse_limit

    try:
        return parse_limit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_allow_copy(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow-copy",
        type=number_of_bytes,
        metavar="BYTES",
        help="copy so much of what cannot be virtual, as 500MB (default: 10MB, or half of all)",
    )


def add_workers(command: argparse.ArgumentParser) -> None:
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=positive, help="processes that parse (default: as many as pay)"
    )
    where.add_argument(
        "--dask", metavar="ADDRESS", help="parse on this scheduler's workers, as tcp://host:8786"
    )


def add_prefix(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--prefix",
        action="append",
        default=[],
        metavar="URL",
        help="what readers authorize: a prefix of the sources "
        "(default: their common folder, above folders of dates)",
    )


def add_inspect(commands, shared, remote) -> None:
    inspect = commands.add_parser(
        "inspect",
        parents=[shared, remote],
        help="say what files hold and which belong together",
        description="Read metadata and coordinates of files, and say which can stand side by side, "
        "what can be virtual, what build would refuse, and with which command to build. Goes on "
        "past files that cannot be read; ends with status 1 if there are any.",
    )
    inspect.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    inspect.add_argument("--concat-dim", help="dimension (or scalar variable) to combine along")


def add_refresh(commands, shared, remote) -> None:
    refresh = commands.add_parser(
        "refresh",
        parents=[shared, remote],
        help="follow sources that changed or moved",
        description="Find sources that changed since they were committed, and commit their new "
        "state. With --from and --to: let references lead to where the archive is now. Checked and "
        "compared before the commit, as build does.",
    )
    refresh.add_argument("--repo", required=True, help="path or URL of the repository")
    refresh.add_argument("--dry-run", action="store_true", help="only say what changed")
    refresh.add_argument(
        "--content", action="store_true", help="compare values of files that look unchanged, too"
    )
    refresh.add_argument("--from", dest="old", metavar="PREFIX", help="where the sources were")
    refresh.add_argument("--to", dest="new", metavar="PREFIX", help="where they are now")
    refresh.add_argument("--all", action="store_true", help="with --to: compare every file")
    refresh.add_argument("--message", help="of the commit")


def add_migrate(commands, shared, remote) -> None:
    migrate = commands.add_parser(
        "migrate",
        parents=[shared, remote],
        help="Kerchunk references to a repository",
        description="Make a new repository of Kerchunk references in JSON or Parquet. Every "
        "reference is checked, and values compared with the files that they lead to.",
    )
    migrate.add_argument("references", nargs="+", metavar="REFERENCES", help="JSON or Parquet")
    migrate.add_argument("--repo", required=True, help="where to create it: a path or URL")
    migrate.add_argument("--concat-dim", help="dimension along which several references lie")
    migrate.add_argument("--from", dest="old", metavar="PREFIX", help="how references begin")
    migrate.add_argument("--to", dest="new", metavar="PREFIX", help="where the files are now")
    migrate.add_argument("--drop", action="append", default=[], help="leave out a variable")
    migrate.add_argument("--all", action="store_true", help="compare every file (default: 5)")
    add_allow_copy(migrate)
    migrate.add_argument("--message", help="of the commit")
    add_prefix(migrate)


def check_applies(option: str, given: bool, when: str) -> None:
    """Refuse an option that this call would ignore."""
    from vzarr.errors import InputError

    if given:
        raise InputError(f"{option} has a meaning only {when}.")


def access_of(options: argparse.Namespace) -> Access:
    """How the options of a command say that remote objects are reached."""
    from vzarr.storage import Access

    return Access(
        anonymous=options.anonymous,
        region=options.region,
        account=options.account,
        endpoint=options.endpoint,
        repo_endpoint=options.repo_endpoint,
        trust=tuple(options.trust),
    )


def run_build(options: argparse.Namespace) -> int:
    from vzarr.build import build
    from vzarr.copying import show_bytes
    from vzarr.report import mostly_copy, print_result, progress_printer, reasons

    built = build(
        options.files,
        options.repo,
        access_of(options),
        concat_dim=options.concat_dim,
        drop=tuple(options.drop),
        skip_bad=options.skip_bad,
        groups=tuple(options.group),
        message=options.message,
        workers=options.workers,
        batch=options.batch,
        dask=options.dask,
        allow_copy=options.allow_copy,
        prefixes=tuple(options.prefix),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    along = f" along {built.concat_dim}" if built.concat_dim else ""
    lines = [
        *mostly_copy(built.share),
        f"{built.repository}: {len(built.sources)} files{along}, {built.references} references, "
        f"snapshot {built.snapshot}",
        *([f"{built.resumed} of the files were written by an earlier run"] * bool(built.resumed)),
        f"virtual: {', '.join(built.virtual) or 'nothing'}",
        f"coordinates, stored as numbers: {', '.join(built.loaded) or 'none'}",
        *([f"readers authorize: {', '.join(built.containers)}"] * bool(built.virtual)),
        *reasons(f"stored natively, {show_bytes(built.share.native)}", built.native),
        *reasons("dropped", built.dropped),
        *(f"note: {note}" for note in built.notes),
        *(f"left out: {sentence}" for sentence in built.left_out),
    ]
    print_result(built.as_json(), lines, options.json)
    return 0


def run_append(options: argparse.Namespace) -> int:
    from vzarr.append import REPLACED, append
    from vzarr.report import print_result, progress_printer, reasons

    done = append(
        options.files,
        options.repo,
        access_of(options),
        replace_known=options.replace,
        skip_bad=options.skip_bad,
        made_of=tuple(options.source),
        message=options.message,
        workers=options.workers,
        dask=options.dask,
        prefixes=tuple(options.prefix),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    renamed = {
        url: held if held.startswith(REPLACED) else f"is there as {held}"
        for url, held in done.known.items()
        if url != held
    }
    renewed = f"{len(done.renewed)} renewed, " if done.renewed else ""
    result = f"snapshot {done.snapshot}" if done.snapshot else "nothing new, nothing committed"
    lines = [
        f"{done.repository}: {len(done.appended)} files appended, {len(done.replaced)} replaced, "
        f"{renewed}{len(done.known)} known already, {done.references} references; {result}",
        *reasons("known", renamed),
        *done.notes,
        *(f"readers have to authorize, too: {prefix}" for prefix in done.containers),
        *(f"left out: {sentence}" for sentence in done.left_out),
    ]
    print_result(done.as_json(), lines, options.json)
    return 0


def run_verify(options: argparse.Namespace) -> int:
    from vzarr.report import print_result, progress_printer, reasons
    from vzarr.verify import verify_named, verify_repository

    if not options.source:
        for option, given in (
            ("--concat-dim", options.concat_dim),
            ("--group", options.group),
            ("--skip", options.skip),
        ):
            check_applies(option, bool(given), "with --source, which names the files")
    access = access_of(options)
    amount = {
        "sample": None if options.all else options.sample,
        "progress": progress_printer("compared", options.quiet),
    }
    if options.source:
        report = verify_named(
            options.repo,
            options.source,
            access,
            concat_dim=options.concat_dim,
            source_group=options.group,
            skip=tuple(options.skip),
            **amount,
        )
    else:
        report = verify_repository(options.repo, access, **amount)
    lines = [
        *report.notes,
        *(f"FAILED {failure}" for failure in report.failures),
        f"{'passed' if report.passed else 'failed'}: compared {report.values} values of "
        f"{report.compared} of {report.sources} files; virtual: {', '.join(report.virtual)}",
        *reasons("stored natively", report.native),
        *reasons("dropped", report.dropped),
    ]
    print_result(report.as_json(), lines, options.json)
    return 0 if report.passed else 1


def run_inspect(options: argparse.Namespace) -> int:
    from vzarr.report import print_result, progress_printer
    from vzarr.survey import as_lines, inspect_files

    inspected = inspect_files(
        options.files,
        access_of(options),
        concat_dim=options.concat_dim,
        progress=progress_printer("inspected", options.quiet),
    )
    print_result(inspected.as_json(), as_lines(inspected), options.json)
    return 1 if inspected.unreadable else 0


def run_refresh(options: argparse.Namespace) -> int:
    from vzarr.errors import InputError
    from vzarr.refresh import refresh, repoint
    from vzarr.report import print_result, progress_printer

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
        found = refresh(options.repo, access, content=options.content, **common)
    else:
        found = repoint(
            options.repo, access, options.old, options.new, everything=options.all, **common
        )
    done = f"{found.references} references renewed, snapshot {found.snapshot}"
    lines = [
        *(f"{url}: {what}" for url, what in [*found.changed.items(), *found.vanished.items()]),
        *(f"note: {note}" for note in found.notes),
        f"{found.repository}: {len(found.changed)} of {found.sources} sources changed, "
        f"{len(found.vanished)} missing; {done if found.snapshot else 'nothing was committed'}",
    ]
    print_result(found.as_json(), lines, options.json)
    return 0


def run_migrate(options: argparse.Namespace) -> int:
    from vzarr.copying import show_bytes
    from vzarr.errors import InputError
    from vzarr.migrate import migrate
    from vzarr.report import mostly_copy, print_result, progress_printer, reasons

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


def run_demo(options: argparse.Namespace) -> int:
    from vzarr.build import build
    from vzarr.errors import InputError
    from vzarr.report import opening_code, print_result, progress_printer
    from vzarr.sample import write_month
    from vzarr.storage import Access
    from vzarr.verify import verify_repository

    folder = Path(options.dir).absolute()
    if folder.exists():
        raise InputError(f"{folder}: exists already. Remove it, or name another with --dir.")
    files = write_month(folder / "data")
    repository = str(folder / "t2m.icechunk")
    access = Access()
    built = build(
        [str(file) for file in files],
        repository,
        access,
        message="January 2024",
        prefixes=(str(folder / "data"),),
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    report = verify_repository(
        repository, access, sample=None, progress=progress_printer("verified", options.quiet)
    )
    lines = [
        f"{len(files)} files in {folder / 'data'}, {built.references} references in {repository}",
        f"{'passed' if report.passed else 'failed'}: {report.values} values compared",
        *(f"FAILED {failure}" for failure in report.failures),
        "",
        "Open it:",
        "",
        *opening_code(repository, built.containers[0]),
    ]
    result = {"built": built.as_json(), "verified": report.as_json()}
    print_result(result, lines, options.json)
    return 0 if report.passed else 1


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status. Prints one sentence instead of a traceback."""
    options = make_parser().parse_args(arguments)
    commands = {
        "inspect": run_inspect,
        "build": run_build,
        "append": run_append,
        "verify": run_verify,
        "refresh": run_refresh,
        "migrate": run_migrate,
        "demo": run_demo,
    }
    place = getattr(options, "repo", options.command)
    from vzarr.limits import set_limits

    set_limits(options.limit)
    try:
        check_memory(place)
        return commands[options.command](options)
    except BaseException as error:
        if not is_failure(error) and not isinstance(error, KeyboardInterrupt):
            raise
        sentence, status = ending(error, place)
        say(sentence)
        if os.environ.get("VZARR_DEBUG"):
            from vzarr.report import print_traceback

            print_traceback(error)
        return status


def say(sentence: str) -> None:
    write(sys.stderr, f"virtual_zarr.py: {printable(sentence)}\n")


if __name__ == "__main__":
    prepare_streams(is_silent=not os.environ.get("VZARR_DEBUG"))
    end_on_signals(lambda name: say(stopped(name)))
    try:
        ended = main()
        finish_output()
    except KeyboardInterrupt:
        ended = STOPPED
    sys.exit(ended)
