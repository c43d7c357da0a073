"""Names that options give, beside what there is: one that selects nothing is a mistake."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import h5py

from vzarr.errors import InputError, is_failure
from vzarr.formats.detect import detect_format
from vzarr.formats.hdf5.reader import is_placeholder, kind_of
from vzarr.formats.open import list_groups, open_native
from vzarr.sources.content import Content, fetch
from vzarr.sources.discover import Source
from vzarr.sources.elsewhere import followed
from vzarr.sources.schemes import Access

THREADS = 16
"""Files that are looked into at a time, where the first has not all names."""


LISTED = 12
"""Names that an error lists; the rest is counted."""


HIDDEN = "_nc4_non_coord_"
"""What netCDF-C puts before the name of a variable that is named as a dimension, and is none."""


def check_names(
    sources: Sequence[Source], access: Access, drop: tuple[str, ...], groups: tuple[str, ...]
) -> None:
    """Raise if a name of ``drop`` or ``groups`` is in none of the files.

    Usually the first file has all of them, and no other is looked into. Files that cannot be read
    are passed over: whoever parses them says so.

    Raises
    ------
    InputError
        With the names that there are.
    """
    if "" in drop:
        raise InputError("--drop /: would leave nothing; name variables or groups.")
    wanted = list(dict.fromkeys(groups))
    unwanted = list(dict.fromkeys(drop))
    rooms: dict[str, None] = {}
    names: dict[str, None] = {}
    for by_group in _look_into(sources, access) if wanted or unwanted else ():
        rooms.update(dict.fromkeys(by_group))
        names.update({path: None for path in _names(by_group, groups)})
        wanted = [group for group in wanted if not any(lies_in(path, group) for path in by_group)]
        unwanted = [name for name in unwanted if not _selects(name, by_group, groups)]
        if not wanted and not unwanted:
            return
    if wanted and rooms:
        raise unknown("--group", wanted[0], "no file has a group of this name", filter(None, rooms))
    if unwanted and names:
        raise unknown("--drop", unwanted[0], "no file has a variable or group of this name", names)


def unknown(option: str, name: str, what: str, names: Iterable[str]) -> InputError:
    """The error for a name that selects nothing; ``names`` are what there is, like ones first."""
    names = list(dict.fromkeys(names))
    last = {path: path.rpartition("/")[2].lower() for path in names}
    wanted = name.rpartition("/")[2].lower()
    like = set(difflib.get_close_matches(wanted, last.values(), n=LISTED))
    ordered = sorted(names, key=lambda path: (last[path] not in like, path))
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    listed = ", ".join(ordered[:LISTED]) or "none"
    return InputError(f"{option} {name}: {what}; there are: {listed}{more}.")


def lies_in(path: str, place: str) -> bool:
    """Whether a path is a group or lies below it; everything lies in the root."""
    return path == place or not place or path.startswith(f"{place}/")


def names_path(name: str, path: str) -> bool:
    """Whether a name means the variable at a path: by its path, or in any group by its name."""
    return path == name or path.rpartition("/")[2] == name


def held_names(content: Content) -> dict[str, list[str]]:
    """By group: the names of its variables, also of those that no reader can represent.

    Raises
    ------
    Exception
        Whatever the reader raises for a file that it cannot read.
    """
    file_format = detect_format(content)
    by_group: dict[str, list[str]] = {}
    for group in list_groups(content):
        if file_format == "hdf5":
            with h5py.File(content.open(), "r") as file:
                h5group = file[group or "/"]
                open_names = followed(h5group, group, content)
                names = [n for n in h5group if n not in open_names or _may_be_variable(h5group, n)]
            by_group[group] = [name.removeprefix(HIDDEN) for name in names]
        else:
            with open_native(content, file_format, group) as native:
                by_group[group] = [str(name) for name in native.variables]
    for path in [*content.findings.unfit, *content.findings.without_values]:
        group, _, name = path.rpartition("/")
        by_group.setdefault(group, []).append(name)
    return by_group


def _may_be_variable(h5group: h5py.Group, name: str) -> bool:
    kind = kind_of(h5group, name)
    return kind is None or (kind is h5py.Dataset and not is_placeholder(h5group[name]))


def _look_into(sources: Sequence[Source], access: Access) -> Iterator[dict[str, list[str]]]:
    """What each file holds, the first by itself; without those that cannot be read."""

    def look(source: Source) -> dict[str, list[str]] | None:
        try:
            return held_names(fetch(source.url, access, source.size))
        except BaseException as error:
            if not is_failure(error):
                raise
            return None

    with ThreadPoolExecutor(THREADS) as pool:
        starts = [0, *range(1, len(sources), THREADS), len(sources)]
        for begin, end in itertools.pairwise(starts):
            yield from filter(None, pool.map(look, sources[begin:end]))


def _names(by_group: dict[str, list[str]], groups: tuple[str, ...]) -> list[str]:
    """Paths of variables and groups, of those groups that are taken."""
    taken = [path for path in by_group if not groups or any(lies_in(path, g) for g in groups)]
    variables = [f"{path}/{name}".lstrip("/") for path in taken for name in by_group[path]]
    return [*filter(None, taken), *variables]


def _selects(name: str, by_group: dict[str, list[str]], groups: tuple[str, ...]) -> bool:
    return any(names_path(name, path) or lies_in(path, name) for path in _names(by_group, groups))
