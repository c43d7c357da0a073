"""The command ``build``."""

from __future__ import annotations

import argparse
from dataclasses import replace

from vzarr.cli.options import (
    Commands,
    Parser,
    access_of,
    add_allow_copy,
    add_coordinates,
    add_irregular,
    add_message,
    add_overlap,
    add_packing,
    add_prefix,
    add_workers,
    positive,
    share_of_step,
)
from vzarr.errors import InputError


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    build = commands.add_parser(
        "build",
        parents=[shared, remote],
        help="make a repository of references to files",
    )
    build.add_command_help(
        "Make a new Icechunk repository of references to NetCDF, HDF5, GRIB, FITS, "
        "TIFF, HDF4, Zarr, Kerchunk or ENVI files. Refuses "
        "files that would read wrong side by side; compares a sample before it commits. After a "
        "stop the same command goes on where it stood.",
        "build data/*.nc --repo era5.icechunk --concat-dim time",
        "build 's3://noaa-goes16/ABI-L2-CMIPF/2024/001/00/*.nc' --anonymous --region us-east-1 \\\n"
        "      --concat-dim t --repo goes.icechunk",
        "build months/*.nc --repo sst.icechunk --concat-dim time --irregular rectilinear",
        "build hrrr/*.grib2 --repo hrrr.icechunk --concat-dim step --select 'param=tmp;level=2'",
    )
    build.add_argument("files", nargs="+", metavar="FILE", help="path, glob or URL")
    build.add_argument("--repo", required=True, help="where to create it: a path or URL")
    build.add_argument(
        "--concat-dim",
        action="append",
        default=[],
        help="dimension (or scalar variable) to combine along; give a second one where files lie "
        "along two, as reference_time and step of forecasts",
    )
    build.add_argument("--drop", action="append", default=[], help="leave out a variable or group")
    build.add_argument(
        "--group", action="append", default=[], help="take only this group (default: all)"
    )
    build.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="WHAT",
        help="of GRIB files take only these messages: 'param=tmp,ugrd;level=2', or a pattern for "
        "lines of the .idx or .index file beside each; nothing else is then read",
    )
    build.add_argument("--skip-bad", action="store_true", help="leave out files that do not fit")
    add_allow_copy(build)
    add_irregular(build)
    build.add_argument(
        "--tolerance",
        type=share_of_step,
        default=0.0,
        metavar="SHARE",
        help="take the first file's coordinates where others differ by less than this share of a "
        "step, as 0.001",
    )
    add_packing(build)
    add_overlap(build)
    add_coordinates(build)
    add_message(build)
    add_prefix(build)
    add_workers(build)
    build.add_argument(
        "--batch", type=positive, metavar="FILES", help="most files in one commit (default: 500)"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status.

    Raises
    ------
    InputError, Refused, EnvironmentFault
        As the command does; ``vzarr.cli.main`` prints them.
    """
    from vzarr.changes.build import build
    from vzarr.cli.output import mostly_copy, print_result, progress_printer, reasons, way_lines
    from vzarr.combine.copied import show_bytes

    if len(options.concat_dim) > 2:
        raise InputError(
            "--concat-dim: given more than twice; files lie along two dimensions at most. "
            "Name two, and build a store for each value of the third."
        )
    built = build(
        options.files,
        options.repo,
        replace(access_of(options), select=tuple(options.select)),
        concat_dim=next(iter(options.concat_dim), None),
        inner=next(iter(options.concat_dim[1:]), None),
        drop=tuple(options.drop),
        skip_bad=options.skip_bad,
        groups=tuple(options.group),
        message=options.message,
        workers=options.workers,
        batch=options.batch,
        dask=options.dask,
        allow_copy=options.allow_copy,
        irregular=options.irregular,
        tolerance=options.tolerance,
        overlap=options.overlap,
        packing=options.packing,
        coord=tuple(options.coord),
        coord_table=options.coord_table,
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
        *way_lines(built.ways),
        *reasons("dropped", built.dropped),
        *(f"note: {note}" for note in built.notes),
        *(f"left out: {sentence}" for sentence in built.left_out),
    ]
    print_result(built.as_json(), lines, options.json)
    return 0
