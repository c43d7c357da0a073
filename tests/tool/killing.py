"""Stop the tool at a chosen step, as a kill, a raced commit or a power cut would."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import icechunk
import vzarr.changes.build_commit
import vzarr.commands.add
import vzarr.commands.append
import vzarr.commands.copy
import vzarr.commands.refresh
from harness import warm_start
from vzarr.changes import append_writing, arrangement, attempts, insertion
from vzarr.repository import transfer

STEPS = (
    *((icechunk.Session, name) for name in ("commit", "amend")),
    *((icechunk.Repository, name) for name in ("save_config", "create_branch", "delete_branch")),
    (icechunk.Repository, "reset_branch"),
    *((icechunk.IcechunkStore, name) for name in ("set_virtual_refs", "set_virtual_refs_arr")),
    *(
        (vzarr.changes.build_commit, n)
        for n in ("write_datasets", "append_datasets", "compare_store")
    ),
    *((append_writing, n) for n in ("append_datasets", "compare_store")),
    (insertion, "compare_store"),
    (arrangement, "rearrange"),
    (icechunk.Session, "reindex_array"),
    (vzarr.commands.append, "replace_files"),
    *((vzarr.commands.add, name) for name in ("replace_files", "compare_with_sources")),
    (transfer.Objects, "put"),
    (vzarr.commands.copy, "publish"),
    *(
        (vzarr.commands.refresh, name)
        for name in ("replace_files", "compare_store", "commit_metadata")
    ),
)
"""What changes a store, or comes right before it."""


class Killed(BaseException):
    """Stands for a signal: nothing may catch it but what cleans up."""


@dataclass(frozen=True)
class Kill:
    """At which step, counted from 0; before it is taken, or right ``after`` it.

    ``in_process``: by a signal that nothing can clean up behind, in a process of its own.
    """

    step: int
    after: bool = False
    in_process: bool = False


@contextmanager
def killed_at(kill: Kill, stop: Callable[[], None]) -> Iterator[None]:
    """Within it, ``stop`` is called at a step."""
    taken = 0

    def watched(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal taken
            number = taken
            taken += 1
            if number == kill.step and not kill.after:
                stop()
            result = step(*arguments, **options)
            if number == kill.step and kill.after:
                stop()
            return result

        return run

    with ExitStack() as stack:
        for owner, name in STEPS:
            if hasattr(owner, name):
                patched = mock.patch.object(owner, name, watched(getattr(owner, name)))
                stack.enter_context(patched)
        yield


def _raise() -> None:
    raise Killed


def kill_this_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def run_killed(kill: Kill, run: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Run until the kill; returns the result where it ends before it.

    Raises
    ------
    Killed
        If it was killed.
    """
    if not kill.in_process:
        with killed_at(kill, _raise):
            return run(*arguments, **options)
    process = warm_start.Process(
        script="import killing; killing.answer()", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    answer, _ = process.communicate(pickle.dumps((kill, run, arguments, options)))
    if process.returncode == -signal.SIGKILL:
        raise Killed
    assert process.returncode == 0, process.returncode
    result = pickle.loads(answer)
    if isinstance(result, BaseException):
        raise result
    return result


def answer() -> None:
    """In a process of its own: run what stdin brings, write the result to stdout."""
    kill, run, arguments, options = pickle.load(sys.stdin.buffer)
    with killed_at(kill, kill_this_process):
        try:
            result = run(*arguments, **options)
        except Exception as error:
            result = error
    sys.stdout.buffer.write(pickle.dumps(result))


@contextmanager
def another_writer(write: Callable[[], Any], beside: Any = vzarr.commands.append) -> Iterator[None]:
    """Within it, ``write`` runs once between the reading and the commit of an append.

    Without the lock that keeps processes of one machine apart: as another machine. ``beside``: the
    module of the command, ``append`` or ``add``.
    """
    compare, done = beside.compare_with_sources, False

    def interrupted(*arguments: Any, **options: Any) -> list[str]:
        nonlocal done
        notes = compare(*arguments, **options)
        if not done:
            done = True
            write()
        return notes

    with (
        mock.patch.object(attempts, "exclusive_lock", return_value=nullcontext()),
        mock.patch.object(beside, "compare_with_sources", interrupted),
    ):
        yield


@contextmanager
def another_inserter(write: Callable[[], Any]) -> Iterator[None]:
    """As ``another_writer``, between the reading and the commit of an insertion."""
    compare, done = insertion.compare_store, False

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal done
        report = compare(*arguments, **options)
        if not done:
            done = True
            write()
        return report

    with (
        mock.patch.object(attempts, "exclusive_lock", return_value=nullcontext()),
        mock.patch.object(insertion, "compare_store", interrupted),
    ):
        yield
