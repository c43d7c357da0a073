"""The command ``copy``."""

from __future__ import annotations

import argparse

from vzarr.cli.options import Commands, Parser, access_of

DESCRIPTION = """\
Copy a repository with its commits, branches, tags and native chunks; its references still lead to
the same sources. Readers of NEW see all of it or nothing. A second run, and one after a run that
was stopped, copies only what is missing; NEW is left as it is if it holds something else, or
commits of its own.
"""
EXAMPLES = """\
examples:
  virtual_zarr.py copy era5.icechunk s3://acme-stores/era5 --to-region us-west-2
  virtual_zarr.py copy s3://acme-stores/era5 gs://acme-stores/era5 --region us-west-2
  virtual_zarr.py copy s3://stores/era5 s3://stores/era5 --region us-west-2 \\
      --to-endpoint https://minio.example.org
"""


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    copy = commands.add_parser(
        "copy",
        parents=[shared, remote],
        help="copy a repository to another disk or cloud",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    copy.add_argument("repo", metavar="REPO", help="path or URL of the repository")
    copy.add_argument("new", metavar="NEW", help="path or URL of the copy")
    copy.add_argument("--to-region", metavar="REGION", help="as --region, of NEW")
    copy.add_argument("--to-account", metavar="ACCOUNT", help="as --account, of NEW")
    copy.add_argument("--to-endpoint", metavar="URL", help="as --endpoint, of NEW")
    copy.add_argument("--dry-run", action="store_true", help="only say what is missing")
    copy.add_argument(
        "--content", action="store_true", help="compare the bytes of what earlier runs copied, too"
    )


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.output import print_result, progress_printer
    from vzarr.combine.copied import show_bytes
    from vzarr.commands.copy import copy
    from vzarr.sources.schemes import Access

    done = copy(
        options.repo,
        access_of(options),
        options.new,
        Access(region=options.to_region, account=options.to_account, endpoint=options.to_endpoint),
        dry_run=options.dry_run,
        content=options.content,
        progress=lambda phase: progress_printer(phase, options.quiet),
    )
    count = f"{done.copied} of {done.objects} objects ({show_bytes(done.copied_bytes)})"
    lines = [f"note: {note}" for note in done.notes]
    if done.is_done:
        shown = [f"{name} {done.branches[name]}" for name in sorted(done.branches)]
        shown += [f"tag {name} {done.tags[name]}" for name in sorted(done.tags)]
        lines.append(f"{done.new}: {count} copied; shows {', '.join(shown)}")
    else:
        lines.append(f"{done.new}: lacks {count}; nothing was copied")
    print_result(done.as_json(), lines, options.json)
    return 0
