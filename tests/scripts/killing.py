"""Stop the tool at a chosen step, as a kill, a raced commit or a power cut would."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import icechunk
import vzarr.changes.build
import vzarr.commands.append
import vzarr.commands.refresh

STEPS = (
    *((icechunk.Session, name) for name in ("commit", "amend")),
    *((icechunk.Repository, name) for name in ("save_config", "create_branch", "delete_branch")),
    (icechunk.Repository, "reset_branch"),
    *((icechunk.IcechunkStore, name) for name in ("set_virtual_refs", "set_virtual_refs_arr")),
    *((vzarr.changes.build, n) for n in ("write_datasets", "append_datasets", "compare_store")),
    *((vzarr.commands.append, n) for n in ("append_datasets", "replace_files", "compare_store")),
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


def _signal() -> None:
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
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killing"])
    theirs, ours = context.Pipe(duplex=False)
    process = context.Process(target=_run_in_process, args=(ours, kill, run, arguments, options))
    process.start()
    ours.close()
    try:
        result = theirs.recv()
    except EOFError:
        result = None
    process.join()
    if process.exitcode == -signal.SIGKILL:
        raise Killed
    assert process.exitcode == 0, process.exitcode
    if isinstance(result, BaseException):
        raise result
    return result


def _run_in_process(
    pipe: Any, kill: Kill, run: Callable[..., Any], arguments: tuple, options: dict[str, Any]
) -> None:
    with killed_at(kill, _signal):
        try:
            pipe.send(run(*arguments, **options))
        except Exception as error:
            pipe.send(error)


@contextmanager
def another_writer(write: Callable[[], Any]) -> Iterator[None]:
    """Within it, ``write`` runs once between the reading and the commit of an append.

    Without the lock that keeps processes of one machine apart: as another machine.
    """
    compare, done = vzarr.commands.append._Run._compare, False

    def interrupted(self: Any, *arguments: Any, **options: Any) -> None:
        nonlocal done
        compare(self, *arguments, **options)
        if not done:
            done = True
            write()

    with (
        mock.patch.object(vzarr.commands.append, "exclusive_lock", return_value=nullcontext()),
        mock.patch.object(vzarr.commands.append._Run, "_compare", interrupted),
    ):
        yield
