"""The command ``show``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from vzarr.cli.options import Commands, Parser, access_of, add_repository
from vzarr.text import aligned, drawing

if TYPE_CHECKING:
    from vzarr.commands.show import Shown
    from vzarr.repository.contents import ArrayContents

GAPS, NAMES = 5, 20
"""Gaps and names that are listed: --json has all."""


def add_parser(commands: Commands, shared: Parser, remote: Parser) -> None:
    """Add the command and its options."""
    show = commands.add_parser(
        "show",
        parents=[shared, remote],
        help="say what a repository holds and what its readers need",
    )
    show.add_command_help(
        "Describe any Icechunk repository: arrays, how much is virtual, coverage and "
        "gaps, sources, branches and tags, history, what readers authorize and install. Reads the "
        "repository only.",
        "show era5.icechunk",
        "show era5.icechunk --tag v1 --sources",
    )
    add_repository(show)
    where = show.add_mutually_exclusive_group()
    where.add_argument("--branch", help="branch to show (default: main)")
    where.add_argument("--tag", help="tag to show")
    where.add_argument("--snapshot", help="snapshot to show, as log lists them")
    show.add_argument("--sources", action="store_true", help="list all files")


def run(options: argparse.Namespace) -> int:
    """Run it; returns its exit status."""
    from vzarr.cli.output import print_result
    from vzarr.commands.show import show

    shown = show(
        options.repo,
        access_of(options),
        branch=options.branch,
        tag=options.tag,
        snapshot=options.snapshot,
        list_sources=options.sources,
    )
    print_result(shown.as_json(), as_lines(shown), options.json)
    return 0


def as_lines(shown: Shown) -> list[str]:
    """The description for a person."""
    from vzarr.combine.copied import show_bytes

    total = shown.virtual_bytes + shown.native_bytes
    share = f"{100 * shown.virtual_bytes / total:.3g} % of it virtual" if total else "empty"
    sources = shown.sources
    what = "files" if sources.is_listed else "files that references lead to"
    lines = [
        f"{shown.repository} at {shown.branch}, snapshot {shown.snapshot} of {shown.written}: "
        f"{shown.message}",
        f"{show_bytes(total)}, {share}; {show_bytes(shown.native_bytes)} in the repository",
        *(f"  {line}" for line in _table(shown.arrays)),
    ]
    for path, covered in shown.coverage.items():
        step = f", step {covered.step}" if covered.step else ""
        lines.append(f"{path}: {covered.size} from {covered.begin} to {covered.end}{step}")
        if covered.line:
            lines.append(f"  |{drawing(sys.stdout, covered.line)}|")
        lines += [
            f"  gap: nothing between {left} and {right}" for left, right in covered.gaps[:GAPS]
        ]
        if len(covered.gaps) > GAPS:
            lines.append(f"  ... and {len(covered.gaps) - GAPS} more gaps")
        if not covered.is_ordered:
            lines.append(f"  {path} neither increases nor decreases strictly")
    lines.append(f"sources: {sources.count} {what}")
    if sources.urls:
        lines += [f"  {url}" for url in sources.urls]
    elif sources.count:
        lines += [f"  first {sources.first}", f"  last {sources.last}"]
    for place in shown.containers:
        more = ", ".join(f"{key} {value}" for key, value in place.items() if key != "prefix")
        lines.append(f"readers authorize: {place['prefix']}{f' ({more})' if more else ''}")
    lines += [f"readers need: {need}" for need in shown.readers]
    lines.append(f"branches: {_names(shown.branches)}; tags: {_names(shown.tags)}")
    lines.append(
        f"history: {shown.commits} commits, {shown.commits_of_tool} of this tool; "
        f"{shown.manifests} manifests of {show_bytes(shown.manifest_bytes)}"
        f"{'; ' + '; '.join(shown.splitting) if shown.splitting else ', not split'}"
        f"; Icechunk {shown.spec_version}"
    )
    return lines + [f"note: {note}" for note in shown.notes]


def _names(reasons_by_name: dict[str, str]) -> str:
    names = sorted(reasons_by_name)
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return (", ".join(names[:NAMES]) or "none") + more


def _table(arrays: list[ArrayContents]) -> list[str]:
    from vzarr.combine.copied import show_bytes

    rows = [("array", "dims", "shape", "chunks", "dtype", "codecs", "virtual", "native", "missing")]
    for array in arrays:
        rows.append(
            (
                array.path,
                " ".join(array.dims) or "-",
                "x".join(map(str, array.shape)) or "-",
                "x".join(map(_length, array.chunks)) or "-",
                array.dtype,
                "+".join(array.codecs) or "-",
                f"{array.virtual} ({show_bytes(array.virtual_bytes)})" if array.virtual else "-",
                f"{array.native} ({show_bytes(array.native_bytes)})" if array.native else "-",
                str(array.missing or "-"),
            )
        )
    return aligned(rows)


def _length(chunk: object) -> str:
    """Of chunks of one dimension: their length, or the range of their lengths."""
    if not isinstance(chunk, list | tuple):
        return str(chunk)
    lengths = [part[0] if isinstance(part, list | tuple) else part for part in chunk]
    return f"{min(lengths)}..{max(lengths)}"
