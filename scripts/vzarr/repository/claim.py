"""Who builds at a place: a marker that says so, from the first step of a build to its last.

Only the run whose marker it is removes anything there, so no run removes what another one wrote. A
marker that was left behind proves that the rest is the remains of a build. Icechunk neither reads
nor collects it, and a finished repository has none.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from vzarr.errors import InputError
from vzarr.sources.schemes import Access, as_url, repository_store

MARKER = "virtual-zarr-build.json"


BEAT = 5.0
"""Seconds after which a build renews its marker, where no lock tells that it is alive."""


PATIENCE = 30.0
"""Seconds without a renewal after which a build counts as dead. If it is not, it finds out before
it commits, publishes or removes anything."""


POLL = 0.5


HEAD = (
    b'{"what": "A build of virtual-zarr is at work here, or was stopped: run its command again. '
    b'Beside a finished repository this file has no meaning and can be removed.", '
)


class Occupied(Exception):
    """The marker is not what it was when it was read."""


@dataclass(frozen=True)
class Marker:
    """``beat`` grows while the run is alive; ``is_stopped``: it ended and left something to go on
    with; ``was_vacant``: nothing was there before the first run, so what is there is of builds.
    """

    run: str
    beat: int = 0
    is_stopped: bool = False
    was_vacant: bool = True

    def as_json(self) -> bytes:
        """The text of the marker."""
        return HEAD + json.dumps(vars(self))[1:].encode()


@dataclass(frozen=True)
class Stored:
    """A marker as it lies in storage. ``marker`` None: the object is somebody else's."""

    marker: Marker | None
    version: Any
    modified: datetime


class Claim:
    """The right of one run to write to a place and to remove what builds have put there.

    ``is_locked``: no other process can be there, as on a disk with locks. Else the marker is
    renewed by a thread, and written under the condition that nobody else has written it.
    """

    def __init__(self, location: str, access: Access, is_locked: bool) -> None:
        self.location = location
        self.is_lost = self.is_released = False
        self.keeps = False
        """Whether something is there that the same command could go on with."""
        self.since: datetime | None = None
        """When this run began, by the clock of the storage."""
        self.is_locked = is_locked
        url = as_url(location)
        self._store = _Folder(url) if url.startswith("file://") else _Prefix(url, access)
        self._marker = Marker(uuid.uuid4().hex)
        self._version: Any = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_the_end, daemon=True)

    @property
    def was_vacant(self) -> bool:
        """Whether nothing was there when the first of the runs began."""
        return self._marker.was_vacant

    def take(self, was_vacant: bool, progress: Callable[[int, int], None]) -> bool:
        """Take the place, unless something changed there meanwhile; False then.

        ``was_vacant``: nothing is there but a marker, if any.

        Raises
        ------
        InputError
            If another build is alive there, or somebody else's object has the marker's name.
        """
        before = self._store.read()
        if before is not None:
            if before.marker is None:
                raise InputError(
                    f"{self.location}: {MARKER} is there, and no build of this tool wrote it. Name "
                    "a new place with --repo."
                )
            if not self._is_left(before, progress):
                return False
            was_vacant = was_vacant or before.marker.was_vacant
        self._marker = Marker(self._marker.run, was_vacant=was_vacant)
        try:
            self._write(before and before.version)
        except Occupied:
            return False
        stored = self._store.read()
        self.since = stored.modified if stored else datetime.now(UTC)
        if not self.is_locked:
            self._thread.start()
        return True

    def check(self) -> None:
        """Make sure that this run still has the place: before what cannot be undone.

        Raises
        ------
        InputError
            If another run has taken it.
        """
        with self._lock:
            if not self.is_lost:
                self._renew()
        if self.is_lost:
            raise InputError(
                f"{self.location}: another build has taken this place, since this one gave no sign "
                f"of life for {PATIENCE:.0f} seconds or its marker {MARKER} was removed. Let it "
                "end, or name another place with --repo."
            )

    def release(self) -> None:
        """Remove the marker, as the last step of a run that leaves nothing, or all of it."""
        self.check()
        self._ended.set()
        self._store.delete()
        self.is_released = True

    def stop(self) -> None:
        """Leave what is written to the next run, which need not wait."""
        self._ended.set()
        with self._lock:
            if not self.is_lost:
                marker = self._marker
                self._marker = Marker(marker.run, marker.beat + 1, True, marker.was_vacant)
                self._renew()

    def disown(self) -> None:
        """Say that somebody else has put something there, so that nothing may be removed."""
        self._marker = Marker(self._marker.run, self._marker.beat, was_vacant=False)

    def _is_left(self, stored: Stored, progress: Callable[[int, int], None]) -> bool:
        """Whether the run that wrote a marker is dead; waits for a sign of life.

        Raises
        ------
        InputError
            If it is alive.
        """
        marker = stored.marker
        assert marker is not None, "its caller saw one"
        if self.is_locked or marker.is_stopped:
            return True
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < PATIENCE:
            progress(int(passed), int(PATIENCE))
            time.sleep(POLL)
            now = self._store.read()
            if now is None or now.marker is None or now.marker.run != marker.run:
                return False
            if now.marker.is_stopped:
                return False
            if now.marker != marker:
                raise InputError(
                    f"{self.location}: another build writes there. Let it end, or name another "
                    "place with --repo."
                )
        progress(int(PATIENCE), int(PATIENCE))
        return True

    def _renew_until_the_end(self) -> None:
        while not self._ended.wait(BEAT):
            with self._lock, suppress(Exception):  # a storage that fails now may answer later
                if self.is_lost or self._ended.is_set():
                    return
                self._renew()

    def _renew(self) -> None:
        marker = self._marker
        self._marker = Marker(marker.run, marker.beat + 1, marker.is_stopped, marker.was_vacant)
        try:
            self._write(self._version)
        except Occupied:
            self.is_lost = True

    def _write(self, over: Any) -> None:
        """Write the marker over that version, or where none is for None.

        A connection that is cut leaves open whether the marker was written: whose it is tells.
        """
        for pause in (0.2, 1.0, 3.0, None):
            try:
                self._version = self._store.write(self._marker.as_json(), over)
                return
            except Occupied:
                now = self._store.read()
                if now is None or now.marker is None or now.marker.run != self._marker.run:
                    raise
                over = now.version
            except GenericError:  # obstore repeats no conditional request
                if pause is None:
                    raise
                time.sleep(pause)
        raise Occupied


class _Prefix:
    """The marker in an object store, whose writes are conditional."""

    def __init__(self, url: str, access: Access) -> None:
        self._store, path = repository_store(url, access)
        self._path = f"{path.rstrip('/')}/{MARKER}"

    def read(self) -> Stored | None:
        try:
            response = obstore.get(self._store, self._path)
            content = bytes(response.bytes())
        except FileNotFoundError:
            return None
        return Stored(_parse(content), _version(response.meta), response.meta["last_modified"])

    def write(self, content: bytes, over: Any) -> Any:
        try:
            done = obstore.put(self._store, self._path, content, mode=over or "create")
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            raise Occupied from error
        return _version(done)

    def delete(self) -> None:
        with suppress(FileNotFoundError):
            obstore.delete(self._store, self._path)


class _Folder:
    """The marker in a folder, which a lock keeps for one process. Its version is its content."""

    def __init__(self, url: str) -> None:
        self._file = Path(url.removeprefix("file://")) / MARKER

    def read(self) -> Stored | None:
        try:
            content = self._file.read_bytes()
            modified = datetime.fromtimestamp(self._file.stat().st_mtime, UTC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        marker = _parse(content)
        if marker is None and HEAD.startswith(content[: len(HEAD)]):
            marker = Marker("", was_vacant=False)  # killed before it had written all of it
        return Stored(marker, content, modified)

    def write(self, content: bytes, over: Any) -> Any:
        if over is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with self._file.open("xb") as file, self._removed_if_it_fails():
                    file.write(content)
                    file.flush()
            except FileExistsError as error:
                raise Occupied from error
            return content
        now = self.read()
        if now is None or now.version != over:
            raise Occupied
        draft = self._file.with_name(f"{MARKER}#1")
        draft.write_bytes(content)
        os.replace(draft, self._file)
        return content

    @contextmanager
    def _removed_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._file.unlink()
            raise

    def delete(self) -> None:
        self._file.with_name(f"{MARKER}#1").unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)


def _version(response: Any) -> dict[str, str]:
    """What tells one state of an object from another: Google has a version, the others an ETag."""
    return {key: response[key] for key in ("e_tag", "version") if response.get(key)}


def _parse(content: bytes) -> Marker | None:
    try:
        values = json.loads(content)
        run, beat = str(values["run"]), int(values["beat"])
        return Marker(run, beat, bool(values["is_stopped"]), bool(values["was_vacant"]))
    except (ValueError, KeyError, TypeError):
        return None


BUILDING = "virtual-zarr-build"
"""Branch of a repository whose build has not ended; until then nothing is on main."""
