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
"""Build and verify virtual Zarr stores: one dataset over many NetCDF or HDF5 files, not copied."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

os.environ.setdefault("ICECHUNK_LOG", "error")  # read when icechunk is imported

EPILOG = """\
examples:
  virtual_zarr.py demo
  virtual_zarr.py build data/*.nc --repo era5.icechunk
  virtual_zarr.py build 's3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc' --anonymous \\
      --region us-east-1 --concat-dim t --repo goes.icechunk
  virtual_zarr.py verify --repo era5.icechunk --all --json

places: paths, s3://, gs://, az:// (or abfs://); https:// for sources only.
credentials: the role or the variables of the environment; --anonymous for public buckets.
exit status: 0 done; 1 verification failed; 2 bad input, or refused; 3 storage or other failure.
VZARR_DEBUG=1 shows tracebacks.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="virtual_zarr.py",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print the result as JSON")
    shared.add_argument("--quiet", action="store_true", help="no progress on stderr")
    remote = argparse.ArgumentParser(add_help=False)
    remote.add_argument("--anonymous", action="store_true", help="sources are public: send no keys")
    remote.add_argument("--account", help="Azure account (default: AZURE_STORAGE_ACCOUNT_NAME)")
    remote.add_argument("--region", help="of the buckets (default: AWS_REGION, else us-east-1)")

    build = commands.add_parser(
        "build",
        parents=[shared, remote],
        help="make a repository of references to files",
        description="Make a new Icechunk repository of references to NetCDF or HDF5 files. Refuses "
        "files that would read wrong side by side; compares a sample before it commits.",
    )
    build.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    build.add_argument("--repo", required=True, help="where to create it: a path or URL")
    build.add_argument("--concat-dim", help="dimension (or scalar variable) to combine along")
    build.add_argument("--drop", action="append", default=[], help="leave out a variable or group")
    build.add_argument(
        "--group", action="append", default=[], help="take this group only (default: all)"
    )
    build.add_argument("--skip-bad", action="store_true", help="leave out files that do not fit")
    build.add_argument("--message", help="of the commit")
    build.add_argument("--workers", type=int, help="processes for parsing (default: by number)")

    verify = commands.add_parser(
        "verify",
        parents=[shared, remote],
        help="compare a repository with its sources",
        description="Reopen a repository that build made, compare decoded values with the source "
        "files, and check that data are virtual and sources unchanged.",
    )
    verify.add_argument("--repo", required=True, help="path or URL of the repository")
    amount = verify.add_mutually_exclusive_group()
    amount.add_argument("--all", action="store_true", help="compare every file")
    amount.add_argument("--sample", type=int, default=5, help="number of files (default: 5)")

    demo = commands.add_parser(
        "demo",
        parents=[shared],
        help="make a month of sample files, build, verify",
        description="Make a month of sample files, build a repository over them, compare every "
        "value, and print how to open it.",
    )
    demo.add_argument("--dir", default="virtual-zarr-demo", help="folder to make")
    return parser


def run_build(options: argparse.Namespace) -> int:
    from vzarr.build import build
    from vzarr.report import print_result, progress_printer, reasons
    from vzarr.storage import Access

    built = build(
        options.files,
        options.repo,
        Access(options.anonymous, options.region, options.account),
        concat_dim=options.concat_dim,
        drop=tuple(options.drop),
        skip_bad=options.skip_bad,
        groups=tuple(options.group),
        message=options.message,
        workers=options.workers,
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    along = f" along {built.concat_dim}" if built.concat_dim else ""
    lines = [
        f"{built.repository}: {len(built.sources)} files{along}, {built.references} references, "
        f"snapshot {built.snapshot}",
        f"virtual: {', '.join(built.virtual) or 'nothing'}",
        f"coordinates, stored as numbers: {', '.join(built.loaded) or 'none'}",
        *reasons("stored natively", built.native),
        *reasons("dropped", built.dropped),
        *built.notes,
        *(f"left out: {sentence}" for sentence in built.left_out),
    ]
    print_result(built.as_json(), lines, options.json)
    return 0


def run_verify(options: argparse.Namespace) -> int:
    from vzarr.report import print_result, progress_printer, reasons
    from vzarr.storage import Access
    from vzarr.verify import verify_repository

    report = verify_repository(
        options.repo,
        Access(options.anonymous, options.region, options.account),
        sample=None if options.all else options.sample,
        progress=progress_printer("compared", options.quiet),
    )
    lines = [
        *(f"FAILED {failure}" for failure in report.failures),
        f"{'passed' if report.passed else 'failed'}: compared {report.values} values of "
        f"{report.compared} of {report.sources} files; virtual: {', '.join(report.virtual)}",
        *reasons("stored natively", report.native),
        *reasons("dropped", report.dropped),
    ]
    print_result(report.as_json(), lines, options.json)
    return 0 if report.passed else 1


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
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    report = verify_repository(
        repository, access, sample=None, progress=progress_printer("verified", options.quiet)
    )
    lines = [
        f"{len(files)} files in {folder / 'data'}, {built.references} references in {repository}",
        f"{'passed' if report.passed else 'failed'}: {report.values} values compared",
        *report.failures,
        "",
        "Open it:",
        "",
        opening_code(repository, f"file://{folder / 'data'}/"),
    ]
    result = {"built": built.as_json(), "verified": report.as_json()}
    print_result(result, lines, options.json)
    return 0 if report.passed else 1


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status. Prints one sentence instead of a traceback."""
    options = make_parser().parse_args(arguments)
    from vzarr.errors import InputError, Refused
    from vzarr.report import print_error

    run = {"build": run_build, "verify": run_verify, "demo": run_demo}[options.command]
    try:
        return run(options)
    except (InputError, Refused) as error:
        print_error(str(error))
        status = 2
    except KeyboardInterrupt:
        print_error("interrupted; nothing was committed.")
        status = 3
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        print_error(f"{type(error).__name__}: {first} (VZARR_DEBUG=1 shows where)")
        status = 3
    if os.environ.get("VZARR_DEBUG"):
        traceback.print_exc()
    return status


if __name__ == "__main__":
    sys.exit(main())
