"""What others did to a repository, or made, taken over if it reads as its files do."""

from __future__ import annotations

from dataclasses import replace

import icechunk

from vzarr.changes.append_request import AppendRequest
from vzarr.changes.neighbours import as_they_were
from vzarr.combine.record_dimension import find_record_dimension
from vzarr.combine.store_metadata import StoreMetadata
from vzarr.errors import InputError, Refused
from vzarr.progress import Progress
from vzarr.repository.history import Held
from vzarr.repository.ledger import read_ledger
from vzarr.repository.references import array_paths, required_bytes
from vzarr.sources.discover import find_sources
from vzarr.sources.schemes import Access
from vzarr.sources.trust import check_sources
from vzarr.verification.foreign import complete_named, describe_named
from vzarr.verification.store import compare_store
from vzarr.virtualize.read_coordinates import read_coordinates

NOTHING = "Nothing was committed"


def check_taken_out(
    account: Held, store: icechunk.IcechunkStore, access: Access, progress: Progress
) -> None:
    """Compare a store out of which others took files with all that are left, as far as these are
    as they were.

    Raises
    ------
    Refused
        If it does not read as they do.
    """
    if not account.taken_out:
        return
    metadata = account.metadata
    numbers = as_they_were(range(len(metadata["sources"])), metadata["sources"], access)
    report = compare_store(store, metadata, access, numbers=numbers, progress=progress("compared"))
    if not report.passed:
        raise Refused(
            f"{account.notes[0]}. The store does not read as its sources do since then: "
            f"{report.failures[0]}. {NOTHING}: virtual_zarr.py rollback shows the commit before "
            "again; append FILES --source ALL_FILES_IT_HOLDS takes over what is right."
        )


def of_named_files(request: AppendRequest, session: icechunk.Session) -> Held:
    """A repository of others, once it reads as the files do that ``--source`` names."""
    return _taken_over(request, session, list(request.made_of), "the files of --source do")


def of_its_references(request: AppendRequest, session: icechunk.Session) -> Held:
    """A repository of others, once it reads as the files do to which its references lead.

    Raises
    ------
    InputError
        If it has no references, or these lead to places that the user did not name.
    Refused
        If it reads otherwise.
    """
    location = request.location
    try:
        urls = sorted(required_bytes(session.store))
    except FileNotFoundError:  # main has no commit but Icechunk's first
        urls = []
    advice = f"Name the files that it was made of: append FILE --repo {location} --source OLD_FILES"
    if not urls:
        raise InputError(
            f"{location}: no commit of this tool is on main, and it has no references, so what it "
            f"holds is unknown. {advice}"
        )
    check_sources(urls, location, request.access)
    try:
        known = _taken_over(request, session, urls, "the files do to which its references lead")
    except (InputError, Refused) as error:
        raise type(error)(f"No commit of this tool is on main. {error} {advice}") from error
    files = f"{len(urls)} files" if len(urls) > 1 else urls[0]
    return replace(known, taken_over=f"taken over: it reads as {files}, to which it leads")


def _taken_over(
    request: AppendRequest, session: icechunk.Session, patterns: list[str], who: str
) -> Held:
    """What files have and the store has not stays out of it."""
    sources = find_sources(patterns, request.access)
    parts = read_coordinates(sources[0], request.access)
    dimension = None
    if len(sources) == 1:  # the names of several tell it
        dimension = find_record_dimension(parts[0])
    array_names = set(array_paths(session.store))
    paths = (
        f"{part.group}/{name}".lstrip("/") for part in parts for name in part.dataset.variables
    )
    left_out = tuple(sorted(path for path in paths if path not in array_names))
    metadata = describe_named(
        session.store, patterns, request.access, concat_dim=dimension, skip=left_out
    )
    report = compare_store(
        session.store, metadata, request.access, progress=request.progress("compared")
    )
    if not report.passed:
        raise Refused(
            f"{request.location}: does not read as {who}: {report.failures[0]}. {NOTHING}."
        )
    metadata = complete_named(session.store, metadata, request.access)
    known = read_ledger(session.store)
    before = [] if known is None else known["sources"]
    urls = {record["url"] for record in metadata["sources"]}
    out = [record for record in before if record["url"] not in urls]
    removed = [*(known.get("removed", []) if known else []), *out]
    whole: StoreMetadata = {**metadata, "replaced": known["replaced"] if known else []}
    if removed:
        whole["removed"] = removed
    return Held(whole, None)
