"""An archive that moved under a repository that this tool did not make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import icechunk

from vzarr.changes.other_places import problem_there
from vzarr.changes.replacements import Refreshed, open_writable
from vzarr.changes.rewriting import with_containers
from vzarr.changes.stored_files import NOTHING_DONE
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress
from vzarr.repository.handle import save_config
from vzarr.repository.lock import exclusive_lock
from vzarr.repository.references import (
    array_paths,
    read_references,
    required_bytes,
    rewrite_urls,
)
from vzarr.sources.content import fetch
from vzarr.sources.discover import Source, last_updated, look_up_all
from vzarr.sources.fingerprint import fingerprint
from vzarr.sources.prefixes import container_prefixes
from vzarr.sources.schemes import Access, as_url
from vzarr.sources.trust import authorization, check_sources
from vzarr.upstream.virtualizarr import chunk_lengths, chunk_offsets, chunk_urls
from vzarr.verification.open import spread
from vzarr.virtualize.model import ParsedFile, is_virtual
from vzarr.virtualize.parse import parse_file

SAMPLE = 5
"""Files whose chunks are looked for where the references say that they lie."""

Range = tuple[int, int]


def repoint_others(
    repository: icechunk.Repository,
    location: str,
    access: Access,
    old: str,
    new: str,
    *,
    dry_run: bool,
    everything: bool,
    message: str | None,
    progress: Progress,
) -> Refreshed:
    """Let every reference that begins with ``old`` lead to the same path below ``new``.

    Each file has to be there and as long as its references need. A sample of them (or
    ``everything``) must hold what the file at the old place holds, where that is still there, and
    have a chunk wherever a reference says so. The repository gets no list of sources: it stays one
    of others.

    Raises
    ------
    InputError
        If nothing begins with ``old``.
    Refused
        If a file is missing at the new place, holds something else, or has its chunks elsewhere.
    """
    started = datetime.now(UTC)  # before the look: a file that changes later counts as changed
    seen = repository.readonly_session("main")
    needed = required_bytes(seen.store)
    moving = sorted(url for url in needed if url.startswith(old))
    if not moving:
        places = ", ".join(container_prefixes(sorted(needed))) or "nowhere"
        raise InputError(f"{old}: no reference begins with it; they lead to {places}.")

    def moved(url: str) -> str:
        return new + url.removeprefix(old) if url.startswith(old) else url

    urls = [moved(url) for url in moving]
    check_sources(urls, location, access)
    refreshed = Refreshed(as_url(location), len(needed))
    refreshed.changed = {url: f"moves to {moved(url)}" for url in moving}
    now = look_up_all(urls, access, progress("looked up"))
    for url in moving:
        if problem := problem_there(moved(url), now[moved(url)], None, needed[url]):
            refreshed.vanished[url] = problem
    if dry_run:
        return refreshed
    if refreshed.vanished:
        raise Refused(f"{next(iter(refreshed.vanished.values()))} {NOTHING_DONE}.")
    present = {url: state for url, state in now.items() if isinstance(state, Source)}
    picked = [moving[n] for n in spread(len(moving), None if everything else SAMPLE)]
    compared = _check_content(picked, moved, present, access)
    _check_chunks(seen.store, picked, moved, present, access, progress)
    before = set(repository.config.virtual_chunk_containers or {})
    config = with_containers(repository.config, urls, access, [f"{new}*"])
    added = sorted({*(config.virtual_chunk_containers or {})} - before)
    refreshed.notes += [
        f"no commit of this tool is on main: each file was looked up; of {len(picked)} the chunks "
        f"were compared with the references, and of {compared}, whose old file is still there, the "
        "content",
        *(f"readers have to authorize, too: {prefix}" for prefix in added),
    ]
    keys = authorization(config, location, access, added)
    repository = repository.reopen(config=config, authorize_virtual_chunk_access=keys)
    session = open_writable(repository, seen)
    refreshed.references = rewrite_urls(
        session, moved, last_updated(started, [present[url] for url in urls])
    )
    with exclusive_lock(location):
        # First: a container without references harms nobody.
        save_config(repository, location, access)
        try:
            refreshed.snapshot = session.commit(message or f"{old} is now {new}")
        except icechunk.ConflictError as error:
            raise Refused(
                f"{location}: another commit was made to main in the meantime. {NOTHING_DONE}: "
                "run it again."
            ) from error
    return refreshed


def _check_content(
    picked: Sequence[str],
    moved: Callable[[str], str],
    present: dict[str, Source],
    access: Access,
) -> int:
    """Refuse files that hold something else than at the old place; how many are there still."""
    before = look_up_all(list(picked), access)
    there = [source for url in picked if isinstance(source := before[url], Source)]
    for source in there:
        copy = present[moved(source.url)]
        if _fingerprint(source, access) != _fingerprint(copy, access):
            raise Refused(
                f"{copy.url}: holds other bytes than the file at the old place: copy it again, or "
                f"build anew. {NOTHING_DONE}."
            )
    return len(there)


def _fingerprint(source: Source, access: Access) -> str | None:
    return fingerprint(fetch(source.url, access, source.size), source.size)


def _check_chunks(
    store: icechunk.IcechunkStore,
    picked: Sequence[str],
    moved: Callable[[str], str],
    present: dict[str, Source],
    access: Access,
    progress: Progress,
) -> None:
    """Refuse files that have no chunk where a reference to them says that there is one."""
    wanted: dict[str, set[Range]] = {url: set() for url in picked}
    for path in array_paths(store):
        for part in read_references(store, path):
            for url, offset, length in zip(part.urls, part.offsets, part.lengths, strict=True):
                if url in wanted:
                    wanted[url].add((int(offset), int(length)))
    report = progress("compared")
    for number, (url, ranges) in enumerate(wanted.items(), 1):
        parsed = parse_file(present[moved(url)], access, (), None, ())
        absent = _absent(ranges, parsed)
        # Others may refer to variables that this tool reads natively: then some are to be found.
        if absent and (len(absent) == len(ranges) or not _is_partly_read(parsed)):
            offset, length = absent[0]
            raise Refused(
                f"{moved(url)}: has no chunk of {length} bytes at {offset}, as the file at the old "
                f"place had: copy it again, or build anew. {NOTHING_DONE}."
            )
        report(number, len(wanted))


def _is_partly_read(parsed: ParsedFile) -> bool:
    """Whether a file has variables whose chunks this tool does not refer to, as others may."""
    return any(part.native or part.dropped for part in [parsed, *parsed.children.values()])


def _absent(ranges: set[Range], parsed: ParsedFile) -> list[Range]:
    """The ranges that are no chunk of a file, and no part of its plain bytes."""
    whole, uncompressed = _ranges(parsed)
    spans: list[list[int]] = []
    for offset, length in sorted(uncompressed):
        if spans and offset <= spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], offset + length)
        else:
            spans.append([offset, offset + length])
    return [
        (offset, length)
        for offset, length in sorted(ranges - whole)
        if not any(first <= offset and offset + length <= last for first, last in spans)
    ]


def _ranges(parsed: ParsedFile) -> tuple[set[Range], set[Range]]:
    """Where the chunks of a file lie (first byte and length of each), and those without a codec.

    These may be cut in another way by others.
    """
    whole: set[Range] = set()
    uncompressed: set[Range] = set()
    for part in [parsed, *parsed.children.values()]:
        for variable in part.dataset.variables.values():
            if not is_virtual(variable):
                continue
            manifest = variable.data.manifest
            there = chunk_urls(manifest) != ""
            offsets, lengths = chunk_offsets(manifest)[there], chunk_lengths(manifest)[there]
            ranges = set(zip(offsets.tolist(), lengths.tolist(), strict=True))
            whole |= ranges
            if len(variable.data.metadata.codecs) == 1:
                uncompressed |= ranges
    return whole, uncompressed
