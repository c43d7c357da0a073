"""Text of others on its way to a terminal and into commands that are suggested.

Of the standard library only: where no file can be opened any more nothing else can be imported.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TextIO


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, each column as wide as what a terminal shows of its longest cell."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def printable(text: str) -> str:
    """Text that a terminal shows as it is, on one line: what it would obey is escaped.

    Control characters, line ends, marks that turn the direction of writing, and bytes that are no
    text become ``\\x1b``, ``\\n``, ``\\u202e``, ``\\udcff``.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def shell_word(text: str) -> str:
    """Any text as one word of a shell's command line, which can be printed."""
    if text.isprintable():
        return shlex.quote(text)
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(char if char.isprintable() else _code(char) for char in quoted) + "'"


def _code(char: str) -> str:
    """For ``$'…'`` of a shell, where ``\\x`` stands for a byte: also for one that is no text."""
    number = ord(char)
    if number < 0x80 or 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number & 0xFF:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def option(name: str, value: str) -> str:
    """An option with its value as they are typed, also for a value that begins with a dash."""
    return f"{name}{'=' if value.startswith('-') else ' '}{shell_word(value)}"


def drop_options(paths: Iterable[str]) -> str:
    """What to add to a command that is to leave out these variables or groups."""
    return " ".join(option("--drop", path) for path in paths)


DRAWN = str.maketrans("█▓▒░", "#+:.")
"""What stands for block characters where an encoding lacks them."""


def can_show(stream: TextIO, text: str) -> bool:
    """Whether the encoding of a stream has all of these signs."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def drawing(stream: TextIO, text: str) -> str:
    """A line of block characters, of others where the encoding of a stream lacks these."""
    return text if can_show(stream, text) else text.translate(DRAWN)


def write(stream: TextIO, text: str) -> None:
    """Also where the terminal's encoding lacks a letter."""
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
