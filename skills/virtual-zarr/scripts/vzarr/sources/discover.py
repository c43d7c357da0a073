"""Which files: paths, globs and URLs to a list of sources with size and time of change."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import obstore

from vzarr.errors import InputError, raise_fault
from vzarr.paths import local_path
from vzarr.sources.schemes import Access, as_url, object_store, root_of

RAW_SUFFIXES = (".img", ".dat", ".raw", ".bin", ".envi", ".bsq", ".bil", ".bip", "")
"""Of the file that an ENVI header, ``scene.hdr``, describes."""


LOOK_UPS = 32
"""Sources that are looked up at a time."""


class SourceRecord(TypedDict):
    """A source as a store keeps it. ``last_modified`` in ISO form; ``fingerprint`` of its content,
    None for folders. ``variables``: what it has, where files of other variables lie beside it;
    ``covers`` so many steps of the file before it that has steps of its own. ``within``: a second
    dimension along which files lie, and where this one begins and ends along it. ``lacks``:
    variables of others that are missing in its steps. ``steps``: which of its own are in the store,
    from the first to the one before the last, None for the end; ``coords``: coordinates that were
    given to it, each with its kind and values. ``runs``, ``gaps`` and ``gap`` of those that were
    removed: ``combine.file_steps``. ``kind``: the group that only files like it share.
    """

    url: str
    size: int
    last_modified: str
    etag: str | None
    fingerprint: NotRequired[str | None]
    variables: NotRequired[list[str]]
    covers: NotRequired[int]
    within: NotRequired[list[Any]]
    lacks: NotRequired[list[str]]
    steps: NotRequired[list[int | None]]
    coords: NotRequired[dict[str, Any]]
    runs: NotRequired[dict[str, list[list[int]]]]
    gaps: NotRequired[dict[str, list[list[int]]]]
    gap: NotRequired[bool]
    kind: NotRequired[str]


@dataclass(frozen=True)
class Source:
    """One file or one folder of Zarr. ``size`` in bytes; ``etag`` None where the store has none."""

    url: str
    size: int
    last_modified: datetime
    etag: str | None = None

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def as_record(self) -> SourceRecord:
        """JSON form, as kept in the commit's metadata."""
        return {
            "url": self.url,
            "size": self.size,
            "last_modified": self.last_modified.isoformat(),
            "etag": self.etag,
        }


def find_sources(patterns: list[str], access: Access) -> list[Source]:
    """The files that paths, globs and URLs name, each once.

    Sorted by URL, ``f2`` before ``f10``; those that were named one by one, otherwise than a shell
    sorts what a pattern matches, stay in the order in which they were named.

    A glob is matched against local paths or listed objects; ``*`` does not match ``/``. An object
    store is listed once for each pattern, so no object is asked for by itself.

    Raises
    ------
    InputError
        If a pattern matches nothing, or a store cannot be listed.
    """
    sources: dict[str, Source] = {}
    with ThreadPoolExecutor(LOOK_UPS) as pool:
        matching = pool.map(lambda pattern: _find(as_url(pattern), access), patterns)
        for pattern, matches in zip(patterns, matching, strict=True):
            if not matches:
                raise InputError(f"{pattern}: no such file, and no match if it is a pattern.")
            sources.update({source.url: source for source in matches})
    if len(sources) == len(patterns) and not _is_sorted(list(sources)):
        return list(sources.values())
    return [sources[url] for url in sorted(sources, key=natural)]


def _find(url: str, access: Access) -> list[Source]:
    matches = _find_local(url) if url.startswith("file://") else _find_objects(url, access)
    return [_described(source, access) for source in matches]


def _is_sorted(urls: list[str]) -> bool:
    """As shells sort, in any locale."""
    return urls in (sorted(urls), sorted(urls, key=str.casefold), sorted(urls, key=natural))


def natural(url: str) -> tuple[list[str | int], str]:
    """By the numbers in a name, not by their digits: files without a time have no other order."""
    parts = re.split("([0-9]+)", url)
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], url


def _described(source: Source, access: Access) -> Source:
    """The raw file beside an ENVI header; any other source as it is.

    Raises
    ------
    InputError
        If there is none.
    """
    base, dot, suffix = source.url.rpartition(".")
    if not dot or suffix.lower() != "hdr" or source.size < 4:
        return source
    store, path = object_store(source.url, access)
    if bytes(obstore.get_range(store, path, start=0, length=4)) != b"ENVI":
        return source
    for ending in RAW_SUFFIXES:
        url = base + ending
        if Path(url.removeprefix("file://")).is_dir():
            continue
        try:
            return look_up(url, access)
        except FileNotFoundError:
            continue
    raise InputError(f"{source.url}: an ENVI header without its raw file: name that file.")


def is_same_time(url: str, one: datetime, other: datetime) -> bool:
    """Whether two times of change of a source are one.

    Google Cloud Storage lists objects with milliseconds, and is asked of one in whole seconds.
    """
    if one == other or url.startswith("file://"):
        return one == other
    is_rough = not (one.microsecond and other.microsecond)
    return is_rough and one.replace(microsecond=0) == other.replace(microsecond=0)


def look_up(url: str, access: Access) -> Source:
    """The present state of one source.

    Raises
    ------
    FileNotFoundError
        If it is gone.
    """
    if url.startswith("file://"):
        return _local_source(Path(url.removeprefix("file://")))
    store, path = object_store(url, access)
    try:
        return _remote_source(url, obstore.head(store, path))
    except FileNotFoundError:
        listed = [] if url.startswith("https://") else _list(store, path.rstrip("/") + "/")
        if not listed:
            raise
        newest = max(meta["last_modified"] for meta in listed)
        return Source(url.rstrip("/"), sum(meta["size"] for meta in listed), newest)


def look_up_all(
    urls: list[str], access: Access, progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Source | Exception]:
    """The present state of each source, or why there is none.

    Returns
    -------
    dict of str to Source or Exception
        By URL; the error that asking for it raised, where there is no answer.
    """

    def state(url: str) -> Source | Exception:
        try:
            return look_up(url, access)
        except Exception as error:
            return error

    states: dict[str, Source | Exception] = {}
    with ThreadPoolExecutor(LOOK_UPS) as pool:
        for url, source in zip(urls, pool.map(state, urls), strict=True):
            states[url] = source
            progress(len(states), len(urls))
    return states


def changed_after(recorded: str) -> datetime:
    """The time after which a source counts as changed, of the time of change in its record."""
    return datetime.fromisoformat(recorded).replace(microsecond=0) + timedelta(seconds=1)


def changes_of(records: Iterable[Mapping[str, Any]]) -> dict[str, datetime]:
    """``changed_after`` of each source, by its URL."""
    return {record["url"]: changed_after(record["last_modified"]) for record in records}


def last_updated(moment: datetime, sources: Iterable[Source]) -> datetime:
    """The time after which a source counts as changed.

    The begin of parsing; but Icechunk compares whole seconds, so a file written in that very second
    would count as changed, and gets the rest of it.
    """
    newest = max(source.last_modified for source in sources)
    return max(moment, newest.replace(microsecond=0) + timedelta(seconds=1))


def _list(store: Any, prefix: str) -> Sequence[obstore.ObjectMeta]:
    return obstore.list(store, prefix).collect()


def _local_source(path: Path) -> Source:
    if path.is_dir():
        states = [file.stat() for file in path.rglob("*") if file.is_file()] or [path.stat()]
        newest = datetime.fromtimestamp(max(state.st_mtime for state in states), UTC)
        return Source(f"file://{path}", sum(state.st_size for state in states), newest)
    state = path.stat()
    changed = datetime.fromtimestamp(state.st_mtime, UTC)
    return Source(f"file://{path}", state.st_size, changed)


def _remote_source(url: str, meta: obstore.ObjectMeta) -> Source:
    # Azure quotes the ETag in the answer to HEAD, but not in a listing.
    etag = (meta["e_tag"] or "").strip('"') or None
    return Source(url, meta["size"], meta["last_modified"], etag)


def _find_local(url: str) -> list[Source]:
    pattern = url.removeprefix("file://")
    names = [pattern] if os.path.lexists(pattern) else glob.glob(pattern)
    paths = [local_path(name) for name in names]
    return [_found_source(path) for path in paths if not path.is_dir() or _is_zarr(path, pattern)]


def _found_source(path: Path) -> Source:
    """Also of a link that leads nowhere: whoever reads it will say so, nobody passes it over."""
    try:
        return _local_source(path)
    except OSError:
        state = path.lstat()
        changed = datetime.fromtimestamp(state.st_mtime, UTC)
        return Source(f"file://{path}", 0, changed)


def _is_zarr(path: Path, pattern: str) -> bool:
    """A folder counts as one source if it is a Zarr store, or if it is named itself."""
    markers = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
    return str(path) == pattern.rstrip("/") or any((path / name).exists() for name in markers)


def _find_objects(url: str, access: Access) -> list[Source]:
    store, path = object_store(url, access)
    root = root_of(url)
    magic = min((path.find(sign) for sign in "*?[" if sign in path), default=None)
    if magic is not None and url.startswith("https://"):
        raise InputError(f"{url}: a web server cannot be listed; name each file.")
    try:
        if magic is None:
            return [look_up(url, access)]
        listed = obstore.list(store, path[:magic].rpartition("/")[0] or None).collect()
    except FileNotFoundError:
        return []
    except Exception as error:
        raise_fault(url, error)
        first = str(error).splitlines()[0]
        raise InputError(f"{url}: cannot be listed: {type(error).__name__}: {first}") from error
    depth = path.count("/")
    return [
        _remote_source(f"{root}/{meta['path']}", meta)
        for meta in listed
        if meta["path"].count("/") == depth and fnmatch.fnmatchcase(meta["path"], path)
    ]
