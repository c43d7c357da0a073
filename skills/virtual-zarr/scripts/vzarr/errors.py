"""The errors that end a command with one sentence instead of a traceback.

Of the standard library only: where no file can be opened any more nothing else can be imported.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator

from vzarr.text import printable


def first_line(error: BaseException) -> str:
    """The class of an error and the first line of its text, as a part of a sentence."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0].rstrip('.')}"


def unreadable(url: str, error: BaseException) -> str:
    """The sentence for a file that its reader refuses."""
    return f"{url}: cannot be read: {first_line(error)}; fetch it again, or leave it out."


class Told(Exception):
    """Ends a command with one sentence, in which names and texts of files cannot do harm."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


class InputError(Told):
    """What was asked for cannot be done: a missing file, a bad URL, an existing repository."""


class Refused(Told):
    """The files cannot become one store without reading wrong. The message says what differs."""


class EnvironmentFault(Told):
    """This machine, or the way to the storage, fails: it says nothing about the files."""


class AccessDenied(EnvironmentFault):
    """One file may not be read: others may, so it can be left out."""


_DENIED = (errno.EACCES, errno.EPERM)


_ADVICE = {
    errno.EMFILE: "too many open files: raise the limit (ulimit -n 4096) and run it again",
    errno.ENFILE: "too many open files on this machine: close some and run it again",
    errno.EAGAIN: "no thread can be started: raise the limits of memory and threads (ulimit -v, "
    "ulimit -u), or run it with fewer --workers",
    errno.ENOMEM: "no memory is left: run it with fewer --workers or a smaller --batch",
    errno.ENOSPC: "no space is left on the disk: make room and run it again",
    errno.EDQUOT: "the disk quota is used up: make room and run it again",
    errno.EFBIG: "the file would be longer than the limit of this process (ulimit -f)",
    errno.EROFS: "the file system is read-only: name another place",
    errno.EACCES: "permission was denied: give this user the right to it",
    errno.EPERM: "permission was denied: give this user the right to it",
    errno.EIO: "the disk or the network file system failed: look into it and run it again",
}


_OF_A_FILE = {*_ADVICE} - {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}


_WORDS = {
    "too many open files": errno.EMFILE,
    "no file descriptors available": errno.EMFILE,
    "can't start new thread": errno.EAGAIN,
    "resource temporarily unavailable": errno.EAGAIN,
    "cannot allocate memory": errno.ENOMEM,
    "failed to map segment": errno.ENOMEM,
    "unable to allocate": errno.ENOMEM,
    "no space left on device": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "file too large": errno.EFBIG,
    "read-only file system": errno.EROFS,
    "permission denied": errno.EACCES,
    "accessdenied": errno.EACCES,
    "access denied": errno.EACCES,
}
"""How libraries that hide the number say it: HDF5, Rust, NumPy."""


_NETWORK = re.compile(
    r"dispatch failure|error sending request|streaming error|error reading a body|"
    r"error decoding response body|peer closed connection|connection (reset|refused|closed)|"
    r"connection (was|is) (reset|closed)|\btimed? ?out\b|slow ?down|internalerror|"
    r"50[0234] (internal|bad|service|gateway)|service unavailable|dns error|"
    r"failed to lookup address|name resolution|no route to host|network is unreachable"
)
"""How HTTP clients say that a request got no answer, or one of a server in trouble."""


def is_failure(error: BaseException) -> bool:
    """Whether something failed, and nobody asked to stop. A panic of Rust is no ``Exception``."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def environment_fault(place: str, error: BaseException) -> EnvironmentFault | None:
    """What this machine lacks or denies, where that is why ``error`` was raised; else None.

    ``place`` is the file or repository that was in use.
    """
    for cause in _chain(error):
        if isinstance(cause, EnvironmentFault):
            return cause
        if drifted := re.search(r"(?:clock has drifted: |timestamp ordering\. )(.*)", str(cause)):
            return EnvironmentFault(
                f"{place}: the clock of this machine is not that of the storage, or goes back "
                f"behind the last commit: set it and run it again ({drifted[1]})."
            )
        if isinstance(cause, MemoryError):
            return EnvironmentFault(f"{place}: {_ADVICE[errno.ENOMEM]}.")
        kind = type(cause).__name__
        if kind == "BrokenProcessPool":
            return EnvironmentFault(
                f"{place}: a worker process was killed, most likely as no memory was left: run it "
                "with fewer --workers or a smaller --batch."
            )
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):  # of obstore
            code = re.search(r"<Code>(\w+)</Code>", str(cause))
            return AccessDenied(
                f"{place}: the storage denies access{f' ({code[1]})' if code else ''}: check the "
                "credentials and what they may do, or use --anonymous for a public bucket."
            )
        number = cause.errno if isinstance(cause, OSError) else None
        if number not in _ADVICE:
            text = str(cause).partition("\n\nDebug source")[0].lower()
            if "notimplemented" in text and "header you provided" in text:
                return EnvironmentFault(
                    f"{place}: this server has no conditional writes, which keep two writers from "
                    "undoing each other's commits. Keep the repository elsewhere, or write it by "
                    "hand, with one writer: references/storage-s3.md, S3-compatible servers."
                )
            if isinstance(cause, ConnectionError | TimeoutError) or _NETWORK.search(text):
                first = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
                return EnvironmentFault(
                    f"{place}: the storage or the way to it fails: {first.rstrip('.')}. Run it "
                    "again when it is back."
                )
            number = next((code for words, code in _WORDS.items() if words in text), None)
        if number is not None:
            fault = AccessDenied if number in _DENIED else EnvironmentFault
            return fault(f"{place}: {_ADVICE[number]}.")
    return None


def raise_fault(place: str, error: BaseException) -> None:
    """Raise what ``environment_fault`` finds, so that it is never taken for a fault of the file.

    Raises
    ------
    EnvironmentFault
        If this machine, or the way to the storage, is why ``error`` was raised.
    """
    if fault := environment_fault(place, error):
        raise fault from error


def ending(error: BaseException, place: str) -> tuple[str, int]:
    """The sentence and the exit status with which an error ends a command.

    ``place`` is what the command was about, for errors that do not say it.

    Returns
    -------
    tuple of str and int
        2 for bad input and what was refused, 3 for all else.
    """
    if isinstance(error, KeyboardInterrupt):
        return stopped(str(error) or "SIGINT"), 3
    if isinstance(error, InputError | Refused | AccessDenied):
        return str(error), 2
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in _OF_A_FILE:
            place = cause.filename if isinstance(cause.filename, str) else place
        if type(cause).__name__ == "RepositoryNotFoundError":
            return (
                f"{place}: the repository was removed while this ran. Remove what lies there "
                "still, and build it again."
            ), 3
    if fault := environment_fault(place, error):
        return str(fault), 3
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} (VZARR_DEBUG=1 shows where)", 3


def stopped(signal: str) -> str:
    """The sentence for a command that a signal ended."""
    return (
        f"stopped by {signal}; main is as it was, or shows all of it. The same command goes on "
        "where this stopped."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
