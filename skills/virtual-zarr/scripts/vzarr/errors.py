"""The errors that end a command with one sentence instead of a traceback."""

from __future__ import annotations


class InputError(Exception):
    """What was asked for cannot be done: a missing file, a bad URL, an existing repository."""


class Refused(Exception):
    """The files cannot become one store without reading wrong. The message says what differs."""


def is_failure(error: BaseException) -> bool:
    """Whether something failed, and nobody asked to stop. A panic of Rust is no ``Exception``."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"
