"""Why a variable is not virtual: a code for the program, a sentence for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """What stands in the way. No code compares the sentences."""

    BY_OPTION = "by option"
    COMPACT = "compact"
    FOREIGN_TYPE = "foreign type"
    FORMAT = "format"
    INLINED = "inlined"
    MISREAD = "misread"
    NO_VALUES = "no values"
    NOT_PARSED = "not parsed"
    OTHER_FILE = "other file"
    PLACEHOLDER = "placeholder"
    REPEATED_FILTER = "repeated filter"
    SKIPPED_FILTER = "skipped filter"
    TEXT = "text"
    TOO_LONG = "too long"


OF_LAYOUT = frozenset({Code.BY_OPTION, Code.COMPACT, Code.REPEATED_FILTER, Code.TEXT})
"""What holds for each file of one layout, whatever its values."""


@dataclass(frozen=True)
class Reason:
    """``text`` goes on after the name of the variable: "v: strings of varying length"."""

    code: Code
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def is_of_layout(self) -> bool:
        """Whether it holds for each file of one layout."""
        return self.code in OF_LAYOUT


BY_DROP = Reason(Code.BY_OPTION, "named by --drop")


COMPACT = Reason(Code.COMPACT, "HDF5 compact layout: its values lie in the file's header")


VIRTUAL_DATASET = Reason(Code.OTHER_FILE, "HDF5 virtual dataset: its values lie in other files")


EXTERNAL_STORAGE = Reason(Code.OTHER_FILE, "HDF5 external storage: its values lie in another file")


EXTERNAL_LINK = Reason(Code.OTHER_FILE, "HDF5 external link: its values lie in another file")


REPEATED_FILTER = Reason(
    Code.REPEATED_FILTER, "the same HDF5 filter more than once, of which the parser sees one"
)


SKIPPED_FILTER = Reason(Code.SKIPPED_FILTER, "HDF5 chunks that skip a filter")


TEXT = Reason(Code.TEXT, "strings of varying length")


TOO_LONG = Reason(Code.TOO_LONG, "HDF5 chunks that are longer in the file than in memory")


INLINED = Reason(Code.INLINED, "kept in the references")


PLACEHOLDER = Reason(
    Code.PLACEHOLDER, "not a variable of the file, but a placeholder of the format"
)
