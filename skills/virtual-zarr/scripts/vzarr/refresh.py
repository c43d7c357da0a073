"""Sources that changed or moved since they were committed: one new commit follows them.

History, attributes, native variables and loaded coordinates stay; only what belongs to the files in
question is written anew. Compared with the sources before the commit, as ``build`` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from virtualizarr.manifests import ChunkManifest, ManifestArray
from virtualizarr.manifests.utils import copy_and_replace_metadata, manifest_chunk_shape
from zarr.core.sync import sync

from vzarr.attributes import follow_attributes
from vzarr.build import Progress, silent
from vzarr.check import Difference, compare_files, same
from vzarr.combine import with_record_dimension
from vzarr.errors import InputError, Refused
from vzarr.find import Source, last_updated, look_up_all
from vzarr.groups import group_paths, part_of, stored_groups
from vzarr.history import commit_metadata, what_changed
from vzarr.ledger import write_ledger
from vzarr.native import fetch, fingerprint
from vzarr.parse import MEANING, NAMED, ParsedFile, Unreadable, cf_encoding, is_virtual
from vzarr.places import container_prefixes, new_prefixes
from vzarr.references import ends, read_references, rewrite_urls
from vzarr.storage import Access, as_url, scheme_of
from vzarr.trust import authorization, check_sources, naming, reaching
from vzarr.verify import DEFAULT_SAMPLE, compare_store, open_store, spread
from vzarr.workers import parse_files
from vzarr.write import alone, open_repository

NOTHING_DONE = "Nothing was committed"
ADVICE = "Nothing was committed: put the old file back, or build a new repository"
OVERTAKEN = f"Another commit was made to main in the meantime. {NOTHING_DONE}: run it again."
NO_DIMENSION = "\0"
"""Stands for the dimension of a store of one file, in which nothing grows."""


@dataclass
class Refreshed:
    """What ``refresh`` found and did. ``snapshot`` is None where nothing was committed."""

    repository: str
    sources: int
    changed: dict[str, str] = field(default_factory=dict)
    vanished: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    references: int = 0
    snapshot: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


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
    repository, session, held = open_repository(location, access)
    access = reaching(access, repository.config, location)
    metadata = held.metadata
    records = metadata["sources"]
    started = datetime.now(UTC)
    found = Refreshed(as_url(location), len(records), notes=held.notes)
    now = look_up_all([record["url"] for record in records], access, progress("looked up"))
    for record in records:
        state = now[record["url"]]
        if isinstance(state, Exception):
            found.vanished[record["url"]] = f"is gone ({type(state).__name__})"
        elif what := what_changed(record, state):
            found.changed[record["url"]] = what
    if content:
        for number, what in _differing(session.store, metadata, found, access, progress):
            found.changed[records[number]["url"]] = what
    if dry_run:
        return found
    if found.vanished:
        url, what = next(iter(found.vanished.items()))
        more = (
            f" ({len(found.vanished) - 1} more files are gone.)" if len(found.vanished) > 1 else ""
        )
        raise Refused(
            f"{url}: {what}, and its values are nowhere else. Put it back; if the archive moved, "
            f"name both places with --from and --to; else build anew without it.{more}"
        )
    if not found.changed:
        return found
    numbers = [n for n, record in enumerate(records) if record["url"] in found.changed]
    parsed = _parse([now[records[n]["url"]] for n in numbers], metadata, access, progress)
    new = dict(zip(numbers, parsed, strict=True))
    checksum = last_updated(started, [file.source for file in parsed])
    session = _writable(repository, session)
    found.references, renewed = replace_files(
        session.store, found.repository, metadata, new, checksum, access
    )
    others = [n for n in range(len(records)) if n not in new]
    picked = sorted({*numbers, *(others[n] for n in spread(len(others), DEFAULT_SAMPLE))})
    _compare(session.store, renewed, access, picked, progress("compared"))
    with alone(location):
        done = f"{len(numbers)} changed files"
        found.snapshot = _commit(session, message or done, renewed, numbers)
    return found


def _writable(repository: icechunk.Repository, seen: icechunk.Session) -> icechunk.Session:
    """A session that writes on the snapshot that was looked at.

    Raises
    ------
    Refused
        If main is another by now.
    """
    session = repository.writable_session("main")
    if session.snapshot_id != seen.snapshot_id:
        raise Refused(OVERTAKEN)
    return session


def replace_files(
    store: icechunk.IcechunkStore,
    location: str,
    metadata: dict[str, Any],
    new: dict[int, ParsedFile],
    checksum: datetime,
    access: Access,
) -> tuple[int, dict[str, Any]]:
    """Write the new state of sources, by their number, over the old.

    Returns how many references were written, and the metadata with the new sources.

    Raises
    ------
    Refused
        If a file does not fit into the old one's place.
    """
    references = 0
    records = metadata["sources"]
    for file in new.values():
        if found := other_groups(file, location, metadata):
            raise Refused(str(found[0]))
    for group, kept in stored_groups(metadata).items():
        stored = stored_file(store, location, group, kept)
        parts = {number: stored_part(file, group, kept) for number, file in new.items()}
        for number, part in parts.items():
            _check_fits(stored, part, kept, number, access)
        for number, part in parts.items():
            references += _write_part(store, part, kept, number, checksum)
        if len(new) == len(records):
            _write_values(store, part, kept, None)
    others = [record for number, record in enumerate(records) if number not in new]
    follow_files(store, metadata, list(new.values()), others, access)
    return references, with_sources(metadata, {n: file.as_record() for n, file in new.items()})


def follow_files(
    store: icechunk.IcechunkStore,
    metadata: dict[str, Any],
    files: list[ParsedFile],
    others: list[dict[str, Any]],
    access: Access,
) -> None:
    """Let attributes follow ``files`` that took the place of old ones, beside ``others``."""
    for group in sorted({"", *metadata["groups"]}):
        parts = [part_of(file, group).dataset for file in files]
        follow_attributes(store, group, parts, others, access)


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
    place is added to the repository's configuration; the old one stays, for older snapshots.

    Raises
    ------
    InputError
        If nothing begins with ``old``.
    Refused
        If a file is missing at the new place, or differs.
    """
    old, new = as_folder(old), as_folder(new)
    access = naming(access, [f"{old}*", f"{new}*"], location)
    repository, seen, held = open_repository(location, access)
    access = reaching(access, repository.config, location)
    metadata = held.metadata
    started = datetime.now(UTC)
    session = _writable(repository, seen)
    needed = ends(session.store)
    records = metadata["sources"]
    known = {record["url"]: record for record in records}
    moving = sorted(url for url in {*needed, *known} if url.startswith(old))
    if not moving and any(url.startswith(new) for url in {*needed, *known}):
        found = Refreshed(as_url(location), len(records))
        found.notes.append(f"no reference begins with {old}, and others begin with {new} already")
        return found
    if not moving:
        places = ", ".join(container_prefixes(sorted({*needed, *known}))) or "nowhere"
        raise InputError(f"{old}: no reference begins with it; they lead to {places}.")

    def moved(url: str) -> str:
        return new + url.removeprefix(old) if url.startswith(old) else url

    check_sources(map(moved, moving), location, access)
    found = Refreshed(as_url(location), len(records), notes=held.notes)
    found.changed = {url: f"moves to {moved(url)}" for url in moving}
    now = look_up_all([moved(url) for url in moving], access, progress("looked up"))
    for url in moving:
        if problem := _problem_there(moved(url), now[moved(url)], known.get(url), needed.get(url)):
            found.vanished[url] = problem
    if dry_run:
        return found
    if found.vanished:
        more = f" ({len(found.vanished) - 1} more files.)" if len(found.vanished) > 1 else ""
        raise Refused(f"{next(iter(found.vanished.values()))} {NOTHING_DONE}.{more}")
    there = {
        number: {**record, **now[moved(record["url"])].as_record()}
        for number, record in enumerate(records)
        if record["url"].startswith(old)
    }
    renewed = with_sources(metadata, there)
    picked = [n for n, record in enumerate(renewed["sources"]) if record["url"].startswith(new)]
    picked = [picked[n] for n in spread(len(picked), None if everything else DEFAULT_SAMPLE)]
    for number in picked:
        if problem := _other_content(renewed["sources"][number], access):
            raise Refused(f"{problem} {NOTHING_DONE}.")
    before = look_up_all([records[n]["url"] for n in picked], access)
    still = [n for n in picked if _is_unchanged(before[records[n]["url"]], records[n])]
    if len(still) < len(picked):
        found.notes.append(
            "the old files are gone or changed: the new ones were compared by size, fingerprint, "
            "form and what the repository holds itself"
        )
    _compare(session.store, renewed, access, still, progress("compared with the old"))
    urls = [moved(url) for url in moving]
    before_it = set(repository.config.virtual_chunk_containers or {})
    config = with_containers(repository.config, urls, access, [f"{new}*"])
    more = sorted({*(config.virtual_chunk_containers or {})} - before_it)
    found.notes += [f"readers have to authorize, too: {prefix}" for prefix in more]
    keys = authorization(config, location, access, more)
    repository = repository.reopen(config=config, authorize_virtual_chunk_access=keys)
    session = _writable(repository, seen)
    checksum = last_updated(started, [now[moved(url)] for url in moving])
    found.references = rewrite_urls(session, moved, checksum)
    _compare(session.store, renewed, access, picked, progress("compared"))
    with alone(location):
        repository.save_config()  # first: a container without references harms nobody
        done = f"{old} is now {new}"
        found.snapshot = _commit(session, message or done, renewed, list(there))
    return found


def _other_content(record: dict[str, Any], access: Access) -> str:
    """Why a file at the new place is not that of its record, or an empty string."""
    expected = record.get("fingerprint")
    if expected is None:
        return ""
    if fingerprint(fetch(record["url"], access, record["size"]), record["size"]) == expected:
        return ""
    return (
        f"{record['url']}: holds other bytes than the file at the old place did: copy it again, or "
        "put the old one back and refresh before it moves."
    )


def as_folder(place: str) -> str:
    """A prefix as a URL that ends with a slash."""
    return as_url(place).rstrip("/") + "/"


def with_sources(metadata: dict[str, Any], records: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """The metadata with other records of some sources, by number.

    A source whose place another file took goes to ``replaced``, and one that came back leaves it.
    """
    sources = list(metadata["sources"])
    replaced = list(metadata["replaced"])
    for number, record in records.items():
        was = sources[number]
        if was["url"] != record["url"] and was["fingerprint"] != record["fingerprint"]:
            replaced.append({**was, "by": record["url"]})
        sources[number] = record
    held = {record["url"] for record in sources}
    replaced = [record for record in replaced if record["url"] not in held]
    return {**metadata, "sources": sources, "replaced": replaced}


def with_containers(
    config: icechunk.RepositoryConfig,
    urls: list[str],
    access: Access,
    patterns: Sequence[str] = (),
    chosen: Sequence[str] = (),
) -> icechunk.RepositoryConfig:
    """The configuration with a container for each place that none covers yet.

    ``patterns`` and ``chosen`` as in ``vzarr.places.container_prefixes``.
    """
    held = list(config.virtual_chunk_containers or {})
    for prefix in new_prefixes(held, urls, patterns, chosen):
        store = scheme_of(prefix).container_store(prefix, access)
        config.set_virtual_chunk_container(icechunk.VirtualChunkContainer(prefix, store))
    return config


def stored_file(
    store: icechunk.IcechunkStore, location: str, group: str, metadata: dict[str, Any]
) -> ParsedFile:
    """One group of the store in the form of a parsed file, to compare new files with."""
    decoded = open_store(store, group)
    arrays = zarr.open_group(store, path=group, mode="r")
    variables = {}
    for name, variable in decoded.variables.items():
        values: Any = np.broadcast_to(np.empty((), variable.dtype), variable.shape)
        if name in metadata["virtual"]:
            array = arrays[str(name)].metadata
            array = copy_and_replace_metadata(array, new_dimension_names=None, new_attributes={})
            chunks = zip(array.shape, manifest_chunk_shape(array), strict=True)
            grid = tuple(-(-size // chunk) for size, chunk in chunks)
            values = ManifestArray(array, ChunkManifest({}, shape=grid))
        variables[name] = xr.Variable(variable.dims, values)
    return ParsedFile(
        Source(location, 0, datetime.now(UTC)),
        "",
        xr.Dataset(coords=xr.Coordinates({}, indexes={})).assign(variables),
        packing={str(name): cf_encoding(v) for name, v in decoded.variables.items()},
        group=group,
    )


def parsing_options(metadata: dict[str, Any]) -> dict[str, Any]:
    """How ``parse_files`` has to look at a file so that it fits into the store."""
    groups = stored_groups(metadata)
    drop = {
        f"{group}/{name}".lstrip("/")
        for group, kept in groups.items()
        for name, why in kept["dropped"].items()
        if why == NAMED
    }
    chosen = () if "" in groups else tuple(groups)
    if _holds_all(metadata):
        drop |= {*metadata["plan"]["drop"]}
        chosen = tuple(metadata["plan"]["groups"])
    return {
        "drop": tuple(sorted(drop)),
        "record_dimension": metadata["concat_dim"],
        "groups": chosen,
    }


def _holds_all(metadata: dict[str, Any]) -> bool:
    """Whether the store holds whatever its files hold, but for what ``build`` was told."""
    groups = metadata["groups"].values()
    return "plan" in metadata and not any("without_source" in kept for kept in groups)


def other_groups(file: ParsedFile, location: str, metadata: dict[str, Any]) -> list[Difference]:
    """Groups of a file that the store does not have: nothing would be said of their data."""
    more = sorted({*group_paths(file)} - {*metadata["groups"]}) if _holds_all(metadata) else []
    url = file.source.url
    return [
        Difference(url, f"/{group}", "the group", "present", "absent", location, ADVICE)
        for group in more
    ]


def _parse(
    sources: list[Source], metadata: dict[str, Any], access: Access, progress: Progress
) -> list[ParsedFile]:
    parsed = parse_files(sources, access, progress=progress("parsed"), **parsing_options(metadata))
    for result in parsed:
        if isinstance(result, Unreadable):
            raise InputError(f"{result.reason} {NOTHING_DONE}.")
    return parsed


def stored_part(file: ParsedFile, group: str, metadata: dict[str, Any]) -> ParsedFile:
    if group and group not in file.children:
        raise Refused(f"{file.source.url}: has no group {group} any more. {ADVICE}.")
    part = part_of(file, group)
    dimension = metadata["concat_dim"]
    return part if dimension is None else with_record_dimension(part, dimension)


def _check_fits(
    stored: ParsedFile, part: ParsedFile, metadata: dict[str, Any], number: int, access: Access
) -> None:
    """What ``build`` asks of files that share arrays, asked of one file and the store."""
    dimension = metadata["concat_dim"]
    length = part.dataset.sizes.get(dimension, 1)
    expected = metadata["sources"][number]["length"]
    if length != expected:
        what = f"the length of {dimension}"
        name = dimension if dimension in part.dataset.variables else (part.virtual or [""])[0]
        found = [Difference(part.source.url, name, what, length, expected, stored.source.url)]
    else:
        expected_file = beside(stored, part, metadata)
        found = compare_files(expected_file, part, dimension or NO_DIMENSION, access)
        if dimension is None:
            found += _static_differences(expected_file, part)
    if found:
        more = f" ({len(found) - 1} more differences in this file.)" if len(found) > 1 else ""
        raise Refused(f"{replace(found[0], advice=ADVICE)}{more}")


def beside(stored: ParsedFile, part: ParsedFile, metadata: dict[str, Any]) -> ParsedFile:
    """The stored group as ``compare_files`` wants it: what values decide is compared later."""
    numbers = {
        name: {key: value for key, value in packing.items() if key not in MEANING}
        | {key: value for key, value in held.items() if key in MEANING}
        for name, packing in part.packing.items()
        if name not in metadata["virtual"] and (held := stored.packing.get(name)) is not None
    }
    variables = {
        name: xr.Variable(variable.dims, np.broadcast_to(np.empty((), dtype), variable.shape))
        for name, variable in stored.dataset.variables.items()
        if name not in metadata["virtual"]
        and name in part.dataset.variables
        and (dtype := part.dataset[name].dtype)
    }
    return replace(
        stored,
        dataset=stored.dataset.assign(variables),
        packing={**stored.packing, **numbers},
        digests=part.digests,
    )


def _static_differences(stored: ParsedFile, part: ParsedFile) -> list[Difference]:
    """For a store of one file, where no dimension grows: all of it must keep its form."""
    found = []
    for name in part.virtual:
        if name not in stored.virtual:
            continue
        mine, theirs = part.dataset[name].variable.data, stored.dataset[name].variable.data
        pairs = [
            ("the dtype", str(mine.dtype), str(theirs.dtype)),
            ("the list of codecs", list(mine.metadata.codecs), list(theirs.metadata.codecs)),
            (
                "the chunk shape",
                manifest_chunk_shape(mine.metadata),
                manifest_chunk_shape(theirs.metadata),
            ),
        ]
        keys = sorted({*part.packing.get(name, {}), *stored.packing.get(name, {})})
        packing = (part.packing.get(name, {}), stored.packing.get(name, {}))
        pairs += [(key, packing[0].get(key), packing[1].get(key)) for key in keys]
        found += [
            Difference(part.source.url, name, what, value, expected, stored.source.url)
            for what, value, expected in pairs
            if not same(value, expected)
        ]
    return found


def _write_part(
    store: icechunk.IcechunkStore,
    part: ParsedFile,
    metadata: dict[str, Any],
    number: int,
    checksum: datetime,
) -> int:
    """Write what belongs to one file: its references, and its part of what is kept as numbers."""
    dimension, records = metadata["concat_dim"], metadata["sources"]
    start = sum(record["length"] for record in records[:number])
    count = 0
    for name in part.virtual:
        variable = part.dataset[name].variable
        if dimension in variable.dims:
            axis = variable.dims.index(dimension)
            at = [0] * variable.ndim
            at[axis] = start // manifest_chunk_shape(variable.data.metadata)[axis]
            count += write_references(store, part, name, at, checksum)
    count += write_static(store, part, metadata, number, checksum)
    _write_values(store, part, metadata, start)
    return count


def write_static(
    store: icechunk.IcechunkStore,
    part: ParsedFile,
    metadata: dict[str, Any],
    number: int,
    checksum: datetime,
) -> int:
    """Write the references of what is stored once, if they lead to this file; returns how many."""
    dimension = metadata["concat_dim"]
    old = {metadata["sources"][number]["url"], part.data_url or part.source.url}
    count = 0
    for name in part.virtual:
        variable = part.dataset[name].variable
        path = f"{part.group}/{name}".lstrip("/")
        if dimension not in variable.dims and _leads_to(store, path, old):
            count += write_references(store, part, name, [0] * variable.ndim, checksum)
    return count


def write_references(
    store: icechunk.IcechunkStore, part: ParsedFile, name: str, at: list[int], checksum: datetime
) -> int:
    """Write a variable's references from chunk ``at`` on, in place of what is there."""
    path = f"{part.group}/{name}".lstrip("/")
    manifest = part.dataset[name].variable.data.manifest
    _forget(store, path, manifest.shape_chunk_grid, at)
    store.set_virtual_refs_arr(
        f"/{path}",
        manifest.shape_chunk_grid,
        manifest._paths.ravel().tolist(),
        manifest._offsets.ravel(),
        manifest._lengths.ravel(),
        arr_offset=tuple(at) if any(at) else None,
        checksum=checksum,
    )
    return int((manifest._paths != "").sum())


def _leads_to(store: icechunk.IcechunkStore, path: str, urls: set[str]) -> bool:
    return any(urls & set(batch.urls) for batch in read_references(store, path))


def _forget(
    store: icechunk.IcechunkStore, path: str, grid: tuple[int, ...], offset: list[int]
) -> None:
    """Delete the references of a region: the new file may have fewer."""
    low, high = np.array(offset), np.array(offset) + np.array(grid, dtype=int)
    for batch in list(read_references(store, path)):
        inside = ((batch.index >= low) & (batch.index < high)).all(axis=1)
        for index in batch.index[inside].tolist():
            sync(store.delete("/".join([path, "c", *map(str, index)])))


def _write_values(
    store: icechunk.IcechunkStore, part: ParsedFile, metadata: dict[str, Any], start: int | None
) -> None:
    """Write what is kept as numbers: the part from ``start`` on, or what has no such dimension."""
    dimension = metadata["concat_dim"]
    names = [
        name
        for name, variable in part.dataset.variables.items()
        if not is_virtual(variable) and (dimension in variable.dims) == (start is not None)
    ]
    if not names:
        return
    values = xr.Dataset({name: part.dataset[name].variable for name in names})
    values = values.drop_attrs().drop_encoding()
    values = values.drop_indexes(list(values.xindexes))  # xarray leaves indexes out of a region
    options: dict[str, Any] = {"group": part.group or None, "mode": "r+", "consolidated": False}
    if start is not None:
        options["region"] = {dimension: slice(start, start + values.sizes[dimension])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values.to_zarr(store, **options)


def _problem_there(
    url: str, now: Source | Exception, record: dict[str, Any] | None, end: int | None
) -> str:
    """Why a file at the new place cannot take the old one's, or an empty string."""
    if isinstance(now, Exception):
        return f"{url}: is not there ({type(now).__name__}): copy it, or correct --to."
    if record is not None and now.size != record["size"]:
        return (
            f"{url}: has {now.size} bytes, the file at the old place had {record['size']}: copy it "
            "again, or build anew."
        )
    if end is not None and now.size < end:
        return f"{url}: has {now.size} bytes, but references need {end}: copy it again."
    return ""


def _is_unchanged(now: Source | Exception, record: dict[str, Any]) -> bool:
    return isinstance(now, Source) and not what_changed(record, now)


def _differing(
    store: icechunk.IcechunkStore,
    metadata: dict[str, Any],
    found: Refreshed,
    access: Access,
    progress: Progress,
) -> list[tuple[int, str]]:
    """Sources that look unchanged, but hold other values than the store; each with the first."""
    records = metadata["sources"]
    numbers = [
        n
        for n, record in enumerate(records)
        if record["url"] not in {*found.changed, *found.vanished}
    ]
    report = compare_store(store, metadata, access, numbers=numbers, progress=progress("compared"))
    differing = []
    for number in numbers:
        url = records[number]["url"]
        about = [failure for failure in report.failures if failure.startswith(f"{url}: ")]
        if about:
            differing.append((number, about[0].removeprefix(f"{url}: ")))
    return differing


def _compare(
    store: icechunk.IcechunkStore,
    metadata: dict[str, Any],
    access: Access,
    numbers: list[int],
    progress: Callable[[int, int], None],
) -> None:
    report = compare_store(store, metadata, access, numbers=numbers, progress=progress)
    if not report.passed:
        raise Refused(
            f"The store would not read as its sources do: {report.failures[0]}. {NOTHING_DONE}."
        )


def _commit(
    session: icechunk.Session, message: str, metadata: dict[str, Any], changed: list[int]
) -> str:
    write_ledger(session.store, metadata)
    try:
        return session.commit(message, metadata=commit_metadata("refresh", replaced=len(changed)))
    except icechunk.ConflictError as error:
        raise Refused(OVERTAKEN) from error
