"""Sources that changed or moved since they were committed: one new commit follows them.

History, attributes, native variables and loaded coordinates stay; only what belongs to the files in
question is written anew. Compared with the sources before the commit, as ``build`` does.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from vzarr.changes.replacements import (
    Refreshed,
    commit_replacements,
    compare_replacements,
    differing_files,
    open_writable,
    replace_files,
)
from vzarr.changes.stored_files import parse_replacements
from vzarr.changes.taking_over import check_taken_out
from vzarr.combine.file_steps import is_gap
from vzarr.errors import Refused
from vzarr.progress import Progress, silent
from vzarr.repository.history import what_changed
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import open_repository
from vzarr.sources.discover import Source, last_updated, look_up_all
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import naming, reaching
from vzarr.verification.open import spread
from vzarr.verification.store import DEFAULT_SAMPLE


def refresh(
    location: str,
    access: Access,
    *,
    dry_run: bool = False,
    content: bool = False,
    message: str | None = None,
    progress: Progress = silent,
) -> Refreshed:
    """Find sources that changed, and take their new state into one commit.

    Changed are size, ETag or time of change; with ``content`` also files whose values differ from
    the store's, for archives that keep the times of replaced files.

    Raises
    ------
    InputError
        If there is no repository, or a changed file cannot be read.
    Refused
        If a source vanished, or does not fit any more.
    """
    access = naming(access, location=location)
    repository, session, account = open_repository(location, access)
    access = reaching(access, repository.config, location)
    metadata = account.metadata
    access = replace(access, select=tuple(metadata.get("select", ())))
    records = metadata["sources"]
    started = datetime.now(UTC)
    refreshed = Refreshed(as_url(location), len(records), notes=account.notes)
    looked_at = [record for record in records if not is_gap(record)]
    now = look_up_all([record["url"] for record in looked_at], access, progress("looked up"))
    for record in looked_at:
        state = now[record["url"]]
        if isinstance(state, Exception):
            refreshed.vanished[record["url"]] = f"is gone ({type(state).__name__})"
        elif what := what_changed(record, state):
            refreshed.changed[record["url"]] = what
    if content:
        for number, what in differing_files(session.store, metadata, refreshed, access, progress):
            refreshed.changed[records[number]["url"]] = what
    if dry_run:
        return refreshed
    if refreshed.vanished:
        url, what = next(iter(refreshed.vanished.items()))
        more = (
            f" ({len(refreshed.vanished) - 1} more files are gone.)"
            if len(refreshed.vanished) > 1
            else ""
        )
        raise Refused(
            f"{url}: {what}, and its values are nowhere else. Put it back; if the archive moved, "
            f"name both places with --from and --to; else take it out with remove.{more}"
        )
    if not refreshed.changed:
        return refreshed
    check_taken_out(account, session.store, access, progress)
    numbers = [n for n, record in enumerate(records) if record["url"] in refreshed.changed]
    states = [now[records[n]["url"]] for n in numbers]
    changed = [state for state in states if isinstance(state, Source)]
    parsed = parse_replacements(changed, metadata, access, progress)
    new = dict(zip(numbers, parsed, strict=True))
    checksum = last_updated(started, [file.source for file in parsed])
    session = open_writable(repository, session)
    refreshed.references, renewed = replace_files(
        session.store, refreshed.repository, metadata, new, checksum, access
    )
    others = [n for n in range(len(records)) if n not in new]
    picked = sorted({*numbers, *(others[n] for n in spread(len(others), DEFAULT_SAMPLE))})
    compare_replacements(session.store, renewed, access, picked, progress("compared"))
    with exclusive_lock(location):
        done = f"{len(numbers)} changed files"
        refreshed.snapshot = commit_replacements(session, message or done, renewed, numbers)
    return refreshed
