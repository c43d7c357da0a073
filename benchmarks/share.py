"""How much of real files ends virtual, by format, and why the rest does not.

Of the files in ``tests/data``; of a corpus, too, where ``VIRTUAL_ZARR_CORPUS`` names its folder.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from vzarr import parse
from vzarr.errors import InputError, Refused
from vzarr.formats.reasons import Code
from vzarr.formats.registry import FORMATS
from vzarr.virtualize.model import ParsedFile, is_virtual

from benchmarks.measuring import Cell, Floor, Table

DATA = Path(__file__).parents[1] / "tests" / "data"
SUFFIXES = {
    *(".nc", ".nc4", ".cdf", ".h5", ".hdf", ".hdf5", ".he5", ".grib", ".grib2", ".grb", ".grb2"),
    *(".tif", ".tiff", ".fits", ".fit"),
}
GOAL = 0.95

NO_RANGE = {
    Code.BY_OPTION: "left out on purpose",
    Code.COMPACT: "in the header of the file",
    Code.FOREIGN_TYPE: "a type that Zarr has not",
    Code.INLINED: "kept in the references",
    Code.NO_VALUES: "no values",
    Code.OTHER_FILE: "in another file",
    Code.PLACEHOLDER: "a placeholder",
    Code.REPEATED_FILTER: "a chain of filters that the parser does not see",
    Code.SKIPPED_FILTER: "chunks that skip a filter",
    Code.TEXT: "text of varying length, in a heap",
}
"""What is no byte range that a chunk could refer to, by the reason for the copy."""


def tables(folder: Path, small: bool) -> Iterable[Table]:
    shares: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[tuple[str, str]] = Counter()
    for path in _files(small):
        try:
            parsed = parse(path)
        except (InputError, Refused) as error:
            reasons["-", f"file refused: {_brief(path, error)}"] += 0
            continue
        share = shares[FORMATS[parsed.file_format].title]
        share["files"] += 1
        for part in (parsed, *parsed.children.values()):
            _count(part, share, reasons)
    yield _by_format(shares)
    yield _by_reason(reasons)


def _files(small: bool) -> Iterator[Path]:
    folders = [DATA]
    if (corpus := os.environ.get("VIRTUAL_ZARR_CORPUS")) and not small:
        folders.append(Path(corpus))
    known: set[str] = set()  # by content: the corpus has some of the tests' files
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in known:
                known.add(digest)
                yield path


def _brief(path: Path, error: Exception) -> str:
    sentence = str(error).partition(": ")[2].partition(". ")[0]
    return f"{path.name}: {sentence.replace('|', '/')[:100]}"


def _count(part: ParsedFile, share: Counter[str], reasons: Counter[tuple[str, str]]) -> None:
    """Add a group: coordinates that are loaded by design are neither virtual nor copied."""
    for name, variable in part.dataset.variables.items():
        if is_virtual(variable):
            share["virtual"] += 1
            share["virtual bytes"] += variable.nbytes
        elif name in part.native:
            reason = part.native[str(name)]
            is_range = reason.code not in NO_RANGE
            share["copied" if is_range else "no range"] += 1
            share["copied bytes" if is_range else "no range bytes"] += variable.nbytes
            kind = NO_RANGE.get(reason.code, str(reason).partition(": ")[0][:100])
            reasons["copied", kind.replace("|", "/")] += variable.nbytes
        else:
            share["loaded"] += 1
    for reason in part.dropped.values():
        share["dropped"] += 1
        reasons["left out", str(reason).replace("|", "/")[:100]] += 1


def _by_format(shares: dict[str, Counter[str]]) -> Table:
    table = Table(
        "What ends virtual of real files",
        "Decoded bytes, of variables that are byte ranges; coordinates are loaded by design.",
    )
    every: Counter[str] = Counter()
    for title, share in sorted(shares.items()):
        table.rows.append(_row(title, share))
        every += share
    table.rows.append(_row("all", every))
    ranges = every["virtual bytes"] + every["copied bytes"]
    virtual = every["virtual bytes"] / max(1, ranges)
    table.floors.append(Floor("bytes virtual of byte ranges", virtual, GOAL, at_least=True))
    return table


def _row(title: str, share: Counter[str]) -> dict[str, Cell]:
    ranges = share["virtual bytes"] + share["copied bytes"]
    virtual = share["virtual bytes"] / ranges if ranges else 0.0
    return {
        "format": title,
        "files": share["files"],
        "variables virtual": share["virtual"],
        "copied": share["copied"],
        "no byte range": share["no range"],
        "left out": share["dropped"],
        "MB virtual": round(share["virtual bytes"] / 1e6, 1),
        "MB copied": round(share["copied bytes"] / 1e6, 2),
        "bytes virtual": _percent(virtual),
    }


def _percent(part: float) -> str:
    """All is said of all only."""
    return "above 99.9%" if 0.9995 <= part < 1 else f"{part:.1%}"


def _by_reason(reasons: Counter[tuple[str, str]]) -> Table:
    table = Table("Why the rest is not", "Decoded kB of copies; numbers of what is left out.")
    for (what, reason), count in reasons.most_common():
        amount = round(count / 1e3, 1) if what == "copied" else count
        table.rows.append({"what": what, "reason": reason, "kB or number": amount})
    if not table.rows:
        table.rows.append({"what": "-", "reason": "nothing", "kB or number": 0})
    return table
