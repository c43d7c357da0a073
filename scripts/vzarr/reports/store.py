"""The page of a store. Nothing but the repository is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import icechunk

from vzarr.combine.copied import show_bytes
from vzarr.errors import is_failure
from vzarr.pages.page import Check, CommitRow, Page, Section, VariableRow, View, made_by
from vzarr.reports.costs import costs, length
from vzarr.reports.timelines import record_dimensions, timelines
from vzarr.repository.ledger import read_ledger
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming
from vzarr.upstream.xarray import html_view
from vzarr.verification.open import open_store

if TYPE_CHECKING:
    from vzarr.commands.show import Shown
    from vzarr.repository.commits import Commit
    from vzarr.repository.contents import ArrayContents
    from vzarr.verification.report import Report

COMMITS, FAILURES, VIEWS, ARRAYS = 100, 50, 6, 300
"""Of each kind that a page shows; the others are counted."""


def report_store(
    location: str,
    access: Access,
    shown: Shown,
    commits: Sequence[Commit],
    verified: Report | None = None,
) -> Page:
    """The page of a repository, of what ``show``, ``log`` and ``verify`` return.

    Nothing but the repository is read, as by ``show``.
    """
    repository = open_untrusted(location, naming(access, location=location))
    session = repository.readonly_session(snapshot_id=shown.snapshot)
    ledger = read_ledger(session.store)
    along = record_dimensions(shown, ledger)
    sections = [
        Section(
            "",
            list(timelines(session.store, shown, ledger)),
            [_stored_row(each, along) for each in _data(shown.arrays)[:ARRAYS]],
        )
    ]
    return Page(
        title=shown.repository,
        facts=_facts(shown),
        sections=sections,
        check=None if verified is None else _check(verified),
        commits=[_commit_row(commit) for commit in commits[:COMMITS]],
        more_commits=max(0, len(commits) - COMMITS),
        needs=_needs(shown),
        code=_code(shown),
        views=list(_views(session.store, shown)),
        notes=list(shown.notes),
        made=made_by(),
    )


def _facts(shown: Shown) -> list[tuple[str, str]]:
    total = shown.virtual_bytes + shown.native_bytes
    share = f"{100 * shown.virtual_bytes / total:.3g} % virtual" if total else "empty"
    references = sum(array.virtual for array in shown.arrays)
    what = "" if shown.sources.is_listed else " that references lead to"
    files = f"{shown.sources.count:,} files{what}"
    extent = f", from {shown.sources.first} to {shown.sources.last}" if shown.sources.count else ""
    return [
        ("shown", f"{shown.branch}, snapshot {shown.snapshot} of {shown.written}"),
        ("data", f"{show_bytes(total)}, {share}, {references:,} references"),
        (
            "in the repository",
            f"{show_bytes(shown.native_bytes)} of chunks, {shown.manifests} "
            f"manifests of {show_bytes(shown.manifest_bytes)}",
        ),
        ("sources", f"{files}{extent}"),
        ("history", f"{shown.commits} commits, {shown.commits_of_tool} of this tool"),
        ("branches", ", ".join(sorted(shown.branches)) or "none"),
        ("tags", ", ".join(sorted(shown.tags)) or "none"),
    ]


def _data(arrays: Sequence[ArrayContents]) -> list[ArrayContents]:
    """Arrays of data first, and of them the largest; coordinates in the order of their paths."""
    return sorted(arrays, key=lambda array: (len(array.dims) < 2, -array.virtual, array.path))


def _stored_row(array: ArrayContents, along: dict[str, str]) -> VariableRow:
    dimension = along.get(array.path.rpartition("/")[0], "")
    strip = array.strip if array.strip and array.strip.dimension == dimension else None
    total = array.virtual + array.native + array.missing
    parts = (("virtual", array.virtual), ("native", array.native), ("missing", array.missing))
    state = ", ".join(
        f"{count / total:.4g} {name}".replace("1 ", "")
        if count == total
        else f"{100 * count / total:.3g} % {name}"
        for name, count in parts
        if count
    )
    chunks = array.virtual + array.native
    mean = (array.virtual_bytes + array.native_bytes) / chunks if chunks else 0
    series, picture = costs(array.dims, array.shape, array.chunks, dimension, mean)
    return VariableRow(
        path=array.path,
        dims=", ".join(array.dims),
        shape=" x ".join(map(str, array.shape)),
        chunks=" x ".join(map(length, array.chunks)),
        dtype=array.dtype,
        codecs=", ".join(array.codecs),
        state=state or "empty",
        series=series,
        map=picture,
        shares={"virtual": strip.virtual, "native": strip.native} if strip else {},
    )


def _check(report: Report) -> Check:
    failures = [str(failure) for failure in report.failures]
    summary = (
        f"compared {report.values:,} values of {report.compared:,} of {report.sources:,} files "
        "with the sources"
    )
    more = max(0, len(failures) - FAILURES)
    return Check(report.passed, summary, failures[:FAILURES], more)


def _commit_row(commit: Commit) -> CommitRow:
    counts = ", ".join(f"{count:,} {name}" for name, count in commit.counts.items())
    what = f"{commit.command}{f' ({counts})' if counts else ''}" if commit.command else "of others"
    names = [*commit.branches, *(f"tag {name}" for name in commit.tags)]
    when = f"{commit.written:%Y-%m-%d %H:%M}"
    return CommitRow(when, what, commit.message, commit.snapshot, names)


def _needs(shown: Shown) -> list[str]:
    places = [
        f"to authorize {place['prefix']}"
        + "".join(f", {key} {value}" for key, value in place.items() if key != "prefix")
        for place in shown.containers
    ]
    return [*places, *shown.readers]


def _code(shown: Shown) -> str:
    prefixes = [str(place["prefix"]) for place in shown.containers]
    groups = sorted({path.rpartition("/")[0] for path in shown.coverage})
    group = "" if "" in groups or not groups else f", {groups[0]!r}"
    lines = ["import vzarr  # scripts/ of the skill on the path", ""]
    location = shown.repository.removeprefix("file://")
    trusted = ", ".join(map(repr, prefixes))
    lines.append(f"ds = vzarr.open_dataset({location!r}{group})")
    if trusted:
        lines.append(f"# reads chunks below {trusted}")
    return "\n".join(lines)


def _views(store: icechunk.IcechunkStore, shown: Shown) -> Iterator[View]:
    groups = sorted({array.path.rpartition("/")[0] for array in _data(shown.arrays)})
    for group in groups[:VIEWS]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield View(group, html_view(open_store(store, group)))
        except BaseException as error:
            if not is_failure(error):
                raise
