"""The page of a store. Nothing but the repository is read."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import icechunk

from vzarr.combine.copied import show_bytes
from vzarr.errors import is_failure
from vzarr.pages.page import Check, Difference, Page, Section, VariableRow, View, made_by
from vzarr.reports.commits import commit_rows, history
from vzarr.reports.costs import costs, counted, length
from vzarr.reports.opening import opening_code
from vzarr.reports.timelines import record_dimensions, timelines
from vzarr.repository.ledger import read_ledger
from vzarr.repository.open import open_untrusted
from vzarr.sources.schemes import Access
from vzarr.sources.trust import naming
from vzarr.upstream.xarray import html_view
from vzarr.verification.open import open_store

if TYPE_CHECKING:
    from vzarr.combine.coverage import Coverage
    from vzarr.commands.show import Shown
    from vzarr.repository.commits import Commit
    from vzarr.repository.contents import ArrayContents
    from vzarr.verification.report import Failure, Report

COMMITS, FAILURES, VIEWS, ARRAYS, DRAWN = 100, 50, 6, 300, 40
"""Of each kind that a page shows; the others are counted. Arrays that are drawn, others listed."""


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
    arrays = _data(shown.arrays)[:ARRAYS]
    drawn = [each for each in arrays if _is_drawn(each)][:DRAWN]
    others = [each for each in arrays if each not in drawn]
    along = record_dimensions(shown, ledger)
    drawn_rows, other_rows = (
        [_stored_row(each, along, shown.coverage) for each in part] for part in (drawn, others)
    )
    failed = {failure.url for failure in verified.failures} if verified is not None else set()
    lines = list(timelines(session.store, shown, ledger, failed))
    notes = [f"{len(shown.arrays) - ARRAYS} more arrays: show lists them"]
    notes *= len(shown.arrays) > ARRAYS
    sections = [Section("", lines, drawn_rows, other_rows, notes)]
    return Page(
        title=shown.repository,
        facts=_facts(shown),
        sections=sections,
        check=None if verified is None else _check(verified),
        commits=commit_rows(commits[:COMMITS]),
        more_commits=max(0, len(commits) - COMMITS),
        history=history(commits),
        needs=_needs(shown),
        code=opening_code(shown, access),
        views=list(_views(session.store, shown)),
        notes=list(shown.notes),
        made=made_by(),
    )


def _facts(shown: Shown) -> list[tuple[str, str]]:
    total = shown.virtual_bytes + shown.native_bytes
    share = f"{_percent(shown.virtual_bytes, total)} virtual" if total else "empty"
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
        ("history", f"{counted(shown.commits, 'commit')}, {shown.commits_of_tool} of this tool"),
        ("branches", ", ".join(sorted(shown.branches)) or "none"),
        ("tags", ", ".join(sorted(shown.tags)) or "none"),
    ]


def _data(arrays: Sequence[ArrayContents]) -> list[ArrayContents]:
    """Arrays of data first, and of them the largest; coordinates in the order of their paths."""
    return sorted(arrays, key=lambda array: (len(array.dims) < 2, -array.virtual, array.path))


def _is_drawn(array: ArrayContents) -> bool:
    return len(array.dims) > 1 and bool(array.virtual or array.native + array.missing > 1)


def _stored_row(
    array: ArrayContents, along: dict[str, str], coverage: Mapping[str, Coverage]
) -> VariableRow:
    group = array.path.rpartition("/")[0]
    dimension = along.get(group, "")
    strip = array.strip if array.strip and array.strip.dimension == dimension else None
    total = array.virtual + array.native + array.missing
    parts = (("virtual", array.virtual), ("native", array.native), ("missing", array.missing))
    state = ", ".join(
        name if count == total else f"{_percent(count, total)} {name}"
        for name, count in parts
        if count
    )
    chunks = array.virtual + array.native
    mean = (array.virtual_bytes + array.native_bytes) / chunks if chunks else 0
    series, picture = costs(array.dims, array.shape, array.chunks, dimension, mean)
    others = [name for name in array.dims if name != dimension]
    covered = coverage.get(f"{group}/{dimension}".lstrip("/"))
    return VariableRow(
        path=array.path,
        dims=", ".join(array.dims),
        shape=" x ".join(f"{size:,}" for size in array.shape),
        chunks=" x ".join(map(length, array.chunks)),
        dtype=array.dtype,
        codecs=", ".join(array.codecs),
        state=state if array.virtual or array.native else "no chunk: reads as the fill value",
        series=series,
        map=picture,
        shares={"virtual": strip.virtual, "native": strip.native} if strip else {},
        across=f"chunks of {', '.join(others)}" if strip and len(strip.virtual) > 1 else "",
        begin=str(covered.begin) if covered else f"first of {dimension}",
        end=str(covered.end) if covered else f"last of {dimension}",
    )


def _percent(count: int, total: int) -> str:
    """A share, shown as all or nothing only where it is."""
    share = 100 * count / total
    if count in (0, total):
        return f"{share:g} %"
    if share > 99.9:
        return "more than 99.9 %"
    return f"{share:.3g} %" if share >= 0.1 else "less than 0.1 %"


def _check(report: Report) -> Check:
    values = [failure for failure in report.failures if failure.values is not None]
    others = [failure for failure in report.failures if failure.values is None]
    summary = (
        f"compared {report.values:,} values of {report.compared:,} of {report.sources:,} files "
        "with the sources"
    )
    more = max(0, len(values) - FAILURES) + max(0, len(others) - FAILURES)
    rows = [_differing(failure) for failure in values[:FAILURES]]
    return Check(report.passed, summary, rows, [*map(str, others[:FAILURES])], more)


def _differing(failure: Failure) -> Difference:
    values = failure.values
    assert values is not None, "chosen by that"
    name = f"{failure.group}/{values.name}".lstrip("/")
    at = ", ".join(map(str, values.at))
    count = f"{values.count:,} of {values.size:,}"
    return Difference(failure.url, name, at, values.stored, values.in_file, count)


def _needs(shown: Shown) -> list[str]:
    places = [
        f"to authorize {place['prefix']}"
        + "".join(f", {key} {value}" for key, value in place.items() if key != "prefix")
        for place in shown.containers
    ]
    return [*places, *shown.readers]


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
