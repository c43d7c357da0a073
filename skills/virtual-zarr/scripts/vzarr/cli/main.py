"""The command line: which command is run, and what its end means."""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import sys
from typing import Any

import vzarr
from vzarr.cli.options import Parser, remote_options, shared_options
from vzarr.errors import ending, is_failure
from vzarr.limits import set_limits
from vzarr.process import check_memory
from vzarr.text import printable, write

DESCRIPTION = "Build and verify virtual Zarr stores: one dataset over many files, not copied."
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
  virtual_zarr.py remove era5.icechunk --records ..2023-12-31

places: paths, s3://, gs://, az:// (or abfs://); https:// for sources only.
credentials: the role or the variables of the environment; --anonymous for public buckets.
limits on what a file may declare; --limit NAME=VALUE, as in load=2GB, raises one, in each command
that reads the file:
{limits}
exit status: 0 done; 1 verification failed; 2 bad input, or refused; 3 storage or other failure,
or stopped (SIGINT, SIGTERM, SIGHUP; a second one ends at once).
VZARR_DEBUG=1 shows tracebacks.
"""
COMMANDS = (
    "build",
    "verify",
    "inspect",
    "refresh",
    "migrate",
    "append",
    "add",
    "show",
    "log",
    "remove",
    "report",
    "rollback",
    "tag",
    "expire",
    "copy",
    "demo",
)
"""Each is a module of this package with ``add_parser`` and ``run``, in the order of the help."""
PACKAGES = (
    *("virtualizarr", "icechunk", "zarr", "xarray", "obstore", "obspec-utils", "h5netcdf"),
    *("netcdf4", "h5py", "numpy"),
)
"""What ``--version`` names: what decides how a store is written and read."""


class Version(argparse.Action):
    """Print the tool's version and those of its packages, one on each line."""

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        lines = [f"virtual_zarr.py {vzarr.__version__}", f"python {sys.version.split()[0]}"]
        for name in PACKAGES:
            try:
                lines.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                lines.append(f"{name} is missing")
        print("\n".join(lines))
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line, with all commands."""
    parser = Parser(
        prog="virtual_zarr.py",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=Version, nargs=0, help="of this tool and its packages")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.type = str  # the values behind a command are for its own parser to check
    shared, remote = shared_options(), remote_options()
    for name in COMMANDS:
        importlib.import_module(f"vzarr.cli.{name}").add_parser(commands, shared, remote)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit status. Prints one sentence instead of a traceback."""
    options = make_parser().parse_args(arguments)
    command = importlib.import_module(f"vzarr.cli.{options.command}")
    place = getattr(options, "repo", options.command)
    set_limits(options.limit)
    try:
        check_memory(place)
        return command.run(options)
    except BaseException as error:
        if not is_failure(error) and not isinstance(error, KeyboardInterrupt):
            raise
        sentence, status = ending(error, place)
        say(sentence)
        if os.environ.get("VZARR_DEBUG"):
            from vzarr.cli.output import print_traceback

            print_traceback(error)
        return status


def say(sentence: str) -> None:
    """Print a sentence to stderr."""
    write(sys.stderr, f"virtual_zarr.py: {printable(sentence)}\n")
