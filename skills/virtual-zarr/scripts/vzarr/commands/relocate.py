"""Rewrite the URLs of an archive that moved."""

from __future__ import annotations

from datetime import UTC, datetime

from vzarr.changes.moving_others import repoint_others
from vzarr.changes.other_places import is_unchanged, other_content, problem_there
from vzarr.changes.replacements import (
    Refreshed,
    commit_replacements,
    compare_replacements,
    open_writable,
)
from vzarr.changes.rewriting import with_containers, with_sources
from vzarr.changes.stored_files import NOTHING_DONE
from vzarr.changes.taking_over import check_taken_out
from vzarr.combine.file_steps import is_gap
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress, silent
from vzarr.repository.handle import save_config
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.open import find_repository_of_others, open_repository
from vzarr.repository.references import required_bytes, rewrite_urls
from vzarr.sources.discover import Source, SourceRecord, last_updated, look_up_all
from vzarr.sources.prefixes import container_prefixes
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import authorization, check_sources, naming, reaching
from vzarr.verification.open import spread
from vzarr.verification.store import DEFAULT_SAMPLE


def repoint(
    location: str,
    access: Access,
    old: str,
    new: str,
    *,
    dry_run: bool = False,
    everything: bool = False,
    message: str | None = None,
    progress: Progress = silent,
) -> Refreshed:
    """Let every reference that begins with ``old`` lead to the same path below ``new``.

    The new files must have the size of the old, and a sample (or ``everything``) must read as the
    store does, before where the old files are still there, and after. A container for the new
    place is added to the repository's configuration; the old one stays, for older snapshots. For a
    repository that this tool did not make see ``repoint_others``.

    Raises
    ------
    InputError
        If nothing begins with ``old``.
    Refused
        If a file is missing at the new place, or differs.
    """
    old, new = as_folder(old), as_folder(new)
    access = naming(access, [f"{old}*", f"{new}*"], location)
    if others := find_repository_of_others(location, access):
        return repoint_others(
            others,
            location,
            reaching(access, others.config, location),
            old,
            new,
            dry_run=dry_run,
            everything=everything,
            message=message,
            progress=progress,
        )
    repository, seen, account = open_repository(location, access)
    access = reaching(access, repository.config, location)
    metadata = account.metadata
    check_taken_out(account, seen.store, access, progress)
    started = datetime.now(UTC)
    session = open_writable(repository, seen)
    needed = required_bytes(session.store)
    records = metadata["sources"]
    known = {record["url"]: record for record in records if not is_gap(record)}
    moving = sorted(url for url in {*needed, *known} if url.startswith(old))
    if not moving and any(url.startswith(new) for url in {*needed, *known}):
        refreshed = Refreshed(as_url(location), len(records))
        refreshed.notes.append(
            f"no reference begins with {old}, and others begin with {new} already"
        )
        return refreshed
    if not moving:
        places = ", ".join(container_prefixes(sorted({*needed, *known}))) or "nowhere"
        raise InputError(f"{old}: no reference begins with it; they lead to {places}.")

    def moved(url: str) -> str:
        return new + url.removeprefix(old) if url.startswith(old) else url

    check_sources(map(moved, moving), location, access)
    refreshed = Refreshed(as_url(location), len(records), notes=account.notes)
    refreshed.changed = {url: f"moves to {moved(url)}" for url in moving}
    now = look_up_all([moved(url) for url in moving], access, progress("looked up"))
    for url in moving:
        if problem := problem_there(moved(url), now[moved(url)], known.get(url), needed.get(url)):
            refreshed.vanished[url] = problem
    if dry_run:
        return refreshed
    if refreshed.vanished:
        more = (
            f" ({len(refreshed.vanished) - 1} more files.)" if len(refreshed.vanished) > 1 else ""
        )
        raise Refused(f"{next(iter(refreshed.vanished.values()))} {NOTHING_DONE}.{more}")
    present = {url: state for url, state in now.items() if isinstance(state, Source)}
    there: dict[int, SourceRecord] = {
        number: {**record, **present[moved(record["url"])].as_record()}
        for number, record in enumerate(records)
        if record["url"].startswith(old) and not is_gap(record)
    }
    there |= {
        number: {**record, "url": moved(record["url"])}
        for number, record in enumerate(records)
        if is_gap(record)
    }
    renewed = with_sources(metadata, there)
    renewed["removed"] = [
        {**record, "url": moved(record["url"])} for record in metadata.get("removed", [])
    ]
    picked = [
        n
        for n, record in enumerate(renewed["sources"])
        if record["url"].startswith(new) and not is_gap(record)
    ]
    picked = [picked[n] for n in spread(len(picked), None if everything else DEFAULT_SAMPLE)]
    for number in picked:
        if problem := other_content(renewed["sources"][number], access):
            raise Refused(f"{problem} {NOTHING_DONE}.")
    before = look_up_all([records[n]["url"] for n in picked], access)
    still = [n for n in picked if is_unchanged(before[records[n]["url"]], records[n])]
    if len(still) < len(picked):
        refreshed.notes.append(
            "the old files are gone or changed: the new ones were compared by size, fingerprint, "
            "form and what the repository holds itself"
        )
    compare_replacements(session.store, renewed, access, still, progress("compared with the old"))
    urls = [moved(url) for url in moving]
    before_it = set(repository.config.virtual_chunk_containers or {})
    config = with_containers(repository.config, urls, access, [f"{new}*"])
    added = sorted({*(config.virtual_chunk_containers or {})} - before_it)
    refreshed.notes += [f"readers have to authorize, too: {prefix}" for prefix in added]
    keys = authorization(config, location, access, added)
    repository = repository.reopen(config=config, authorize_virtual_chunk_access=keys)
    session = open_writable(repository, seen)
    checksum = last_updated(started, [present[moved(url)] for url in moving])
    refreshed.references = rewrite_urls(session, moved, checksum)
    compare_replacements(session.store, renewed, access, picked, progress("compared"))
    with exclusive_lock(location):
        # First: a container without references harms nobody.
        save_config(repository, location, access)
        done = f"{old} is now {new}"
        refreshed.snapshot = commit_replacements(session, message or done, renewed, list(there))
    return refreshed


def as_folder(place: str) -> str:
    """A prefix as a URL that ends with a slash."""
    return as_url(place).rstrip("/") + "/"
