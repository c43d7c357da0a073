"""Many files to parse: one after another, in processes, or on the workers of a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from vzarr.errors import (
    AccessDenied,
    EnvironmentFault,
    InputError,
    Refused,
    first_line,
    is_failure,
    raise_fault,
    unreadable,
)
from vzarr.limits import raised, set_limits
from vzarr.process import end_with_parent
from vzarr.sources.content import Content, fetch
from vzarr.sources.discover import Source
from vzarr.sources.schemes import Access
from vzarr.upstream.processes import terminate_workers
from vzarr.virtualize.model import ParsedFile, Unreadable
from vzarr.virtualize.parse import parse_file
from vzarr.virtualize.same_layout import Layouts

FETCHES, FETCHED_BYTES = 32, 256 * 1024**2
"""Remote files that are fetched ahead of the one that is parsed, and their bytes at most."""


FILES_A_TASK = 16
"""Files that a worker is given at a time."""


POOL_FROM_SECONDS = 8.0
"""Seconds of work left from which processes pay for their start (each imports for seconds)."""


TRIAL_SECONDS = 1.5
"""Seconds after which that is judged."""


DASK_TIMEOUT = "20s"


@dataclass(frozen=True)
class Options:
    """How to parse; the same for all files of a store."""

    access: Access = field(default_factory=Access)
    drop: tuple[str, ...] = ()
    record_dimension: str | None = None
    groups: tuple[str, ...] = ()
    limits: tuple[tuple[str, int], ...] = field(default_factory=raised)


class Parsing:
    """Parses files, in their order, and remembers the layouts that it has met.

    In this process while that is quick; from ``POOL_FROM_SECONDS`` of work left on in as many
    processes as there are cores, or in ``workers``. They are spawned: after a fork of a process
    whose libraries hold threads they would hang. ``dask`` is the address of a
    scheduler whose workers parse instead, in the same environment as this process.
    """

    def __init__(
        self, options: Options, workers: int | None = None, dask: str | None = None
    ) -> None:
        self._options, self._workers = options, workers
        self._pool: ProcessPoolExecutor | None = None
        self._following = 0
        self._client = _dask_client(dask) if dask else None
        self._cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None

    def __enter__(self) -> Parsing:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            if kind is not None:  # nobody waits for what they are at
                terminate_workers(self._pool)
            self._pool.shutdown(cancel_futures=True)
        if self._client is not None:
            self._client.close()

    def parse(
        self,
        sources: Sequence[Source],
        progress: Callable[[int], None] = lambda done: None,
        following: int = 0,
    ) -> list[ParsedFile | Unreadable]:
        """What became of each file. ``progress`` is told how many are done.

        ``following`` files will be asked for after these, which counts when processes are weighed.
        """
        self._following = following
        results: list[ParsedFile | Unreadable] = []
        for result in self._results(sources):
            results.append(result)
            progress(len(results))
        return results

    def _results(self, sources: Sequence[Source]) -> Iterator[ParsedFile | Unreadable]:
        if self._client is not None:
            yield from self._on_dask(self._client, sources)
        elif self._workers is not None and self._workers > 1:
            yield from self._in_processes(sources)
        else:
            yield from self._here(sources)

    def _here(self, sources: Sequence[Source]) -> Iterator[ParsedFile | Unreadable]:
        if self._pool is not None:
            yield from self._in_processes(sources)
            return
        begun = time.monotonic()
        for done, result in enumerate(parse_in_turn(sources, self._options), 1):
            yield result
            spent, left = time.monotonic() - begun, len(sources) - done + self._following
            enough = spent > TRIAL_SECONDS and spent / done * left > POOL_FROM_SECONDS
            if enough and self._workers is None and self._count() > 1:
                yield from self._in_processes(sources[done:])
                return

    def _count(self) -> int:
        return self._workers or self._cores or os.cpu_count() or 1

    def _in_processes(self, sources: Sequence[Source]) -> Iterator[ParsedFile | Unreadable]:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self._count(), mp_context=context, initializer=end_with_parent
            )
        tasks = _tasks(sources, self._count())
        for results in self._pool.map(parse_some, tasks, [self._options] * len(tasks)):
            yield from results

    def _on_dask(self, client: Any, sources: Sequence[Source]) -> Iterator[ParsedFile | Unreadable]:
        workers = sum(client.nthreads().values()) or 1
        tasks = _tasks(sources, workers)
        futures = client.map(parse_some, tasks, options=self._options, pure=False, batch_size=1000)
        for number, future in enumerate(futures):
            yield from future.result()
            futures[number] = None  # the cluster forgets what nobody holds


def parse_files(
    sources: Sequence[Source],
    access: Access,
    *,
    drop: tuple[str, ...] = (),
    record_dimension: str | None = None,
    groups: tuple[str, ...] = (),
    workers: int | None = None,
    dask: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ParsedFile | Unreadable]:
    """Parse files, in their order; see ``Parsing`` and ``vzarr.virtualize.parse.parse_file``."""
    options = Options(access, drop, record_dimension, groups)
    with Parsing(options, workers, dask) as parsing:
        return parsing.parse(sources, lambda done: progress(done, len(sources)))


def parse_some(sources: Sequence[Source], options: Options) -> list[ParsedFile | Unreadable]:
    """What a worker does with one task."""
    set_limits(options.limits)
    return list(parse_in_turn(sources, options))


def parse_in_turn(sources: Sequence[Source], options: Options) -> Iterator[ParsedFile | Unreadable]:
    """Parse one after the other; remote files are fetched ahead."""
    layouts = _layouts(options)
    for source, content in _fetch_ahead(sources, options.access):
        yield _parse(source, content, options, layouts)


@lru_cache(maxsize=2)
def _layouts(options: Options) -> Layouts:
    """Kept from task to task: what one process knows."""
    return Layouts(options.record_dimension)


def _parse(
    source: Source, content: Content | Exception, options: Options, layouts: Layouts
) -> ParsedFile | Unreadable:
    try:
        if isinstance(content, Exception):
            raise content
        if parsed := _like_known(layouts, source, content):
            return parsed
        parsed = parse_file(
            source,
            options.access,
            options.drop,
            options.record_dimension,
            options.groups,
            content=content,
        )
        with suppress(Exception):  # a layout that nobody knows is no harm
            layouts.remember(parsed, content)
        return parsed
    except (InputError, Refused, AccessDenied) as error:
        return Unreadable(source, str(error))
    except EnvironmentFault:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        try:
            raise_fault(source.url, error)
        except AccessDenied as denied:
            return Unreadable(source, str(denied))
        return Unreadable(source, unreadable(source.url, error))


def _like_known(layouts: Layouts, source: Source, content: Content) -> ParsedFile | None:
    """What is known helps; what is too odd for that is parsed as a whole, which says why."""
    try:
        return layouts.parse(source, content)
    except Exception:
        return None


def _fetch_ahead(
    sources: Sequence[Source], access: Access
) -> Iterator[tuple[Source, Content | Exception]]:
    def get(source: Source) -> Content | Exception:
        try:
            return fetch(source.url, access, source.size)
        except Exception as error:
            return error

    if len(sources) == 1 or all(source.url.startswith("file://") for source in sources):
        for source in sources:
            yield source, get(source)
        return
    waiting: deque[tuple[Source, Future]] = deque()
    waiting_bytes = 0
    with ThreadPoolExecutor(FETCHES) as pool:
        for source in sources:
            while waiting and (
                len(waiting) >= FETCHES or waiting_bytes + source.size > FETCHED_BYTES
            ):
                first, fetched = waiting.popleft()
                waiting_bytes -= first.size
                yield first, fetched.result()
            waiting.append((source, pool.submit(get, source)))
            waiting_bytes += source.size
        while waiting:
            first, fetched = waiting.popleft()
            yield first, fetched.result()


def _tasks(sources: Sequence[Source], workers: int) -> list[Sequence[Source]]:
    size = max(1, min(FILES_A_TASK, len(sources) // (2 * workers) or 1))
    return [sources[start : start + size] for start in range(0, len(sources), size)]


def _dask_client(address: str) -> Any:
    """A client whose workers have this package.

    Raises
    ------
    InputError
        If ``distributed`` is not installed, or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            "--dask needs distributed: run with `uv run --with distributed "
            "scripts/virtual_zarr.py …`, in the same versions as on the workers."
        ) from None
    try:
        client = Client(address, timeout=DASK_TIMEOUT)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{address}: no Dask scheduler answers ({first_line(error)}). Name one that runs, as "
            "tcp://host:8786, with --dask."
        ) from error
    with tempfile.TemporaryDirectory() as folder:
        package = Path(__file__).parents[1]
        archive = shutil.make_archive(
            f"{folder}/{package.name}", "zip", package.parent, package.name
        )
        client.upload_file(archive)
    return client
