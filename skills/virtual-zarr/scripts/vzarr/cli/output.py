"""What a command says: progress on stderr, the result on stdout as lines or as JSON.

Names, attributes and paths are chosen by whoever made a file. All text goes through ``printable``
on its way to a terminal, and through ``shell_word`` into a command that is suggested.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from vzarr.combine.copied import Share, show_bytes
from vzarr.text import printable, write


def progress_printer(what: str, quiet: bool) -> Callable[[int, int], None]:
    """A callback that prints ``what: done/total, rate, time left`` to stderr.

    On a terminal the line is rewritten, at most twice a second; elsewhere one is printed every ten.
    """
    terminal = sys.stderr.isatty()
    interval = 0.5 if terminal else 10.0
    begun = time.monotonic()
    state: dict[str, float] = {"printed": begun}

    def show(done: int, total: int) -> None:
        now = time.monotonic()
        # A run that goes on with another's work begins with its count.
        first = state.setdefault("first", done - 1)
        last = done == total
        if quiet or (not last and now - state["printed"] < interval):
            return
        state["printed"] = now
        line = f"{what}: {done}/{total}{_pace(done - first, total - done, now - begun)}"
        end = "\n" if last or not terminal else ""
        write(sys.stderr, f"{chr(13) if terminal else ''}{line:<60}".rstrip() + end)

    return show


def _pace(done: float, left: int, seconds: float) -> str:
    """Files a second and, while there are more, the time that they will take."""
    if seconds < 1 or done < 1:
        return ""
    rate = done / seconds
    remaining = f", {_duration(left / rate)} left" if left else ""
    return f", {rate:.3g} a second{remaining}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def print_result(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    """The result of a command, for a program or for a person."""
    text = json.dumps(result, indent=2) if as_json else "\n".join(map(printable, lines))
    write(sys.stdout, f"{text}\n")


def mostly_copy(share: Share) -> list[str]:
    """The first line of a build that copied more than it refers to; nothing of any other."""
    if not share.is_mostly_copy:
        return []
    native, virtual = show_bytes(share.native), show_bytes(share.virtual)
    return [f"mostly a copy: {native} were copied, {virtual} are virtual; the reasons are below"]


def print_traceback(error: BaseException) -> None:
    """Moved in: a line at the margin is the tool's own."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    write(sys.stderr, "".join(f"  {printable(line)}\n" for line in lines))


def reasons(title: str, names: dict[str, str]) -> list[str]:
    """One line for each name and its reason, under a title; nothing without names."""
    lines = [f"  {name}: {why}" for name, why in sorted(names.items())]
    return [f"{title}:", *lines] if lines else []


def opening_code(location: str, prefix: str) -> list[str]:
    """Lines of Python that open a local repository over local files, to be copied."""
    code = f"""\
import icechunk
import xarray as xr

repo = icechunk.Repository.open(
    icechunk.local_filesystem_storage({json.dumps(location, ensure_ascii=False)}),
    authorize_virtual_chunk_access={{
        {json.dumps(prefix, ensure_ascii=False)}: icechunk.credentials.LocalFileSystemAccess
    }},
)
ds = xr.open_zarr(repo.readonly_session("main").store, consolidated=False)
print(ds)"""
    return code.splitlines()


def way_lines(ways: dict[str, dict[str, Any]]) -> list[str]:
    """One line for each variable that files of unequal chunks share; what readers need."""
    lines = {}
    for name, way in ways.items():
        native = way.get("native", 0)
        virtual = way.get("virtual", 0)
        share = f"{virtual / max(1, virtual + native):.1%} virtual, {show_bytes(native)} copied"
        lines[name] = f"{way['kind']}, {share}: {way['why']}"
    needs = sorted({way["readers"] for way in ways.values() if way.get("readers")})
    told = [f"readers need {need}" for need in needs]
    return [*reasons("one array of chunks that differ", lines), *told]
