"""Carry the objects of a repository to another place; the one that makes it visible comes last.

All objects of Icechunk but ``repo`` are written once and never changed, and ``repo`` names all that
a reader needs. So whoever reads ``repo``, lists the rest after it and copies that has one state of
the repository, however many commits are made meanwhile.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import LocalStore

from vzarr.errors import EnvironmentFault, Refused
from vzarr.sources.schemes import Access, as_url, repository_storage, repository_store

ROOT_OBJECT = "repo"
"""What Icechunk reads first, and writes last."""


STREAMED = 64 * 1024**2
"""Bytes from which an object is not held in memory as a whole."""


AT_ONCE = 16
"""Objects that are copied at the same time."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it."""

    size: int
    e_tag: str | None

    def has_checksum_of(self, other: StoredObject) -> bool:
        """Whether both have a checksum, and it is the same. Encrypted objects have another one."""
        mine = _checksum_in(self.e_tag)
        return mine is not None and mine == _checksum_in(other.e_tag)


@dataclass(frozen=True)
class RootObject:
    """The bytes of ``repo``, and what a conditional write needs to take its place."""

    content: bytes
    version: dict[str, str]


class Objects:
    """The objects below a location, by names relative to it."""

    def __init__(self, location: str, access: Access, *, make: bool = False) -> None:
        repository_storage(location, access)  # refuses what no repository can be at
        url = as_url(location)
        self.location, self.is_local = location, url.startswith("file://")
        if self.is_local:
            folder = Path(url.removeprefix("file://"))
            self._is_there = make or folder.is_dir()
            self._store: Any = LocalStore(folder, mkdir=make) if self._is_there else None
            self._prefix = ""
        else:
            self._store, path = repository_store(url, access)
            self._is_there, self._prefix = True, f"{path.rstrip('/')}/"

    def listed(self) -> dict[str, StoredObject]:
        """All objects, by name."""
        if not self._is_there:
            return {}
        entries: Any = obstore.list(self._store, self._prefix or None).collect()
        return {
            entry["path"].removeprefix(self._prefix): StoredObject(entry["size"], entry["e_tag"])
            for entry in entries
        }

    def open(self, name: str) -> Any:
        """The answer to a request for an object.

        Raises
        ------
        FileNotFoundError
            If there is none of this name.
        """
        return obstore.get(self._store, self._prefix + name)

    def root(self) -> RootObject | None:
        """``repo`` as it is now; None where it is missing."""
        if not self._is_there:
            return None
        try:
            answer = self.open(ROOT_OBJECT)
            content = bytes(answer.bytes())
        except FileNotFoundError:
            return None
        version_keys = {
            key: answer.meta[key] for key in ("e_tag", "version") if answer.meta.get(key)
        }
        return RootObject(content, version_keys)

    def digest(self, name: str) -> str:
        """The SHA-256 of an object's bytes."""
        digest = hashlib.sha256()
        for part in self.open(name).stream(min_chunk_size=2**20):
            digest.update(part)
        return digest.hexdigest()

    def put(self, name: str, content: Any, **options: Any) -> str | None:
        """Write an object; returns its ETag."""
        if self.is_local:
            options.pop("attributes", None)  # of which files have none
        return obstore.put(self._store, self._prefix + name, content, **options)["e_tag"]

    def writer(self, name: str, attributes: Any) -> Any:
        """A file to write a large object to, which is there when it is closed."""
        given = {} if self.is_local else {"attributes": attributes}
        return obstore.open_writer(self._store, self._prefix + name, **given)

    def remove(self, name: str) -> None:
        """Delete an object."""
        obstore.delete(self._store, self._prefix + name)


def copy_object(source: Objects, target: Objects, name: str) -> int:
    """Copy one object, and make sure that what arrived is what left; returns its bytes.

    Raises
    ------
    EnvironmentFault
        If it is not.
    """
    answer = source.open(name)
    attributes, size = answer.attributes, answer.meta["size"]
    if size < STREAMED:
        content = bytes(answer.bytes())
        sent, checksum = hashlib.sha256(content), hashlib.md5(content, usedforsecurity=False)
        e_tag = target.put(name, content, attributes=attributes)
        if _checksum_in(e_tag) == checksum.hexdigest():
            return size
    else:
        sent = hashlib.sha256()
        writer = target.writer(name, attributes=attributes)
        for part in answer.stream(min_chunk_size=8 * 2**20):
            sent.update(part)
            writer.write(bytes(part))
        writer.close()  # only now is it there; nothing of it is if this ends before
    if target.digest(name) != sent.hexdigest():
        raise EnvironmentFault(
            f"{target.location}: {name} does not read as it was written: run it again; if that "
            "does not help, the storage damages what it keeps."
        )
    return size


def for_each(
    names: Iterable[str], work: Callable[[str], Any], progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """The result of ``work`` for each name, several at once; the first error ends it."""
    names = list(names)
    results: dict[str, Any] = {}
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="transfer")
    try:
        waiting: dict[Future, str] = {}
        following = iter(names)
        while len(results) < len(names):
            while len(waiting) < 2 * AT_ONCE and (name := next(following, None)) is not None:
                waiting[pool.submit(work, name)] = name
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                results[waiting.pop(future)] = future.result()
                progress(len(results), len(names))
    finally:
        pool.shutdown(cancel_futures=True)
    return results


def publish(
    target: Objects, content: bytes, over: RootObject | None, *, is_conditional: bool
) -> None:
    """Write ``repo``: from here on readers see the copy.

    ``over``: what it takes the place of. Not ``is_conditional``: the server has no such writes.

    Raises
    ------
    Refused
        If another writer has put something there since ``over`` was read.
    """
    mode: Any = (over.version if over else "create") if is_conditional else "overwrite"
    if target.is_local:
        # Under the lock of the folder; the file is renamed into its place.
        mode = "overwrite" if target.root() == over else None
    try:
        if mode is None:
            raise PreconditionError
        target.put(ROOT_OBJECT, content, mode=mode)
    except (AlreadyExistsError, PreconditionError) as error:
        now = target.root()
        if now is not None and now.content == content:
            return  # another run of the same command was faster, or the answer was lost
        raise Refused(
            f"{target.location}: another writer has just written there, so it was left as it is. "
            "Name a new place."
        ) from error


def _checksum_in(e_tag: str | None) -> str | None:
    """The MD5 that an ETag is where a server computes it so; None of any other."""
    text = (e_tag or "").strip('"').lower()
    return text if re.fullmatch("[0-9a-f]{32}", text) else None
