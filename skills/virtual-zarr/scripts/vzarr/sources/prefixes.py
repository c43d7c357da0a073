"""Prefixes of an archive that readers authorize: few, and the same when files are appended.

A reader authorizes each container by exactly its prefix, and Icechunk takes the longest container
that a reference begins with. So a container for each day's folder would fail readers on the newest
day, and one inside another would take references from those who authorized that.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Sequence

from vzarr.errors import InputError
from vzarr.sources.schemes import as_url, root_of

_YEAR = re.compile(r"(\w+=)?[Yy]?(19|20)\d\d")


_DATE = re.compile(
    r"(?<!\d)(19|20)\d\d[-_.]?((0[1-9]|1[0-2])([-_.]?[0-3]\d([-_T]?\d{2,6}Z?)?)?|[0-3]\d\d)(?!\d)"
)


_NUMBER = re.compile(r"(\w+=)?[YyMmDdHh]?\d{1,4}")


def container_prefixes(
    urls: Iterable[str], patterns: Sequence[str] = (), chosen: Sequence[str] = ()
) -> list[str]:
    """Prefixes for containers that hold all URLs, each with the slash that it must end with.

    Those that were ``chosen``; else for each host the common folder of its URLs, of the fixed part
    of ``patterns``, and above folders of dates: ``s3://bucket/prod/`` of
    ``s3://bucket/prod/2024/001/a.nc``. Of local files only innermost folders of dates are left
    out, for a path may begin with one.

    Raises
    ------
    InputError
        For a chosen prefix that none of the URLs begins with, and if a URL begins with none.
    """
    urls = sorted(set(urls))
    if chosen:
        prefixes = list(dict.fromkeys(map(as_prefix, chosen)))
        _check_chosen(prefixes, urls)
        return sorted(prefixes)
    fixed = [_fixed_folder(pattern) for pattern in patterns]
    folders: dict[str, list[list[str]]] = {}
    for url in urls:
        root = root_of(url)
        parts = _parts(url.removeprefix(root).rpartition("/")[0])
        # A local container needs a path: files of two top folders have nothing in common.
        top = f"{root}/{parts[0]}" if root == "file://" and parts else root
        folders.setdefault(top, []).append(parts)
    common_folders = []
    for top, paths in folders.items():
        root = root_of(top)
        common = _common(paths)
        is_local = root == "file://"
        here = [_parts(place.removeprefix(root)) for place in fixed if root_of(place) == root]
        above = [
            parts for parts in here if common[: len(parts)] == parts and (parts or not is_local)
        ]
        common = min([common, *above], key=len)
        common_folders.append("/".join([root, *_without_dates(common, is_local), ""]))
    return sorted(common_folders)


def new_prefixes(
    present: Sequence[str],
    urls: Iterable[str],
    patterns: Sequence[str] = (),
    chosen: Sequence[str] = (),
) -> list[str]:
    """What ``present`` containers lack for these URLs; as ``container_prefixes``.

    Raises
    ------
    InputError
        Also for a chosen prefix that lies inside one of these, or that no URL needs.
    """
    urls = sorted(set(urls))
    uncovered = [url for url in urls if not url.startswith(tuple(present))]
    wanted = [prefix for prefix in map(as_prefix, chosen) if prefix not in present]
    for prefix in wanted:
        inside = [place for place in present if prefix.startswith(place)]
        if inside:
            raise InputError(
                f"--prefix {prefix}: lies in {inside[0]}, which readers authorize already, and "
                "they would fail at what lies below it: leave the option out."
            )
        if urls and not uncovered:
            raise InputError(
                f"--prefix {prefix}: not needed, the files lie in {', '.join(sorted(present))}, "
                "which readers authorize already: leave the option out."
            )
    if not uncovered:
        return []
    return container_prefixes(uncovered, patterns, wanted or chosen)


def as_prefix(place: str) -> str:
    """A prefix as a URL that ends with a slash.

    Raises
    ------
    InputError
        If it names no folder or bucket.
    """
    url = as_url(place)
    if not url.partition("://")[2].strip("/"):
        raise InputError(f"--prefix {place}: names no folder and no bucket.")
    return url.rstrip("/") + "/"


def _check_chosen(prefixes: list[str], urls: list[str]) -> None:
    outside = [url for url in urls if not url.startswith(tuple(prefixes))]
    idle = [prefix for prefix in prefixes if not any(url.startswith(prefix) for url in urls)]
    places = ", ".join(container_prefixes(urls))
    if idle:
        raise InputError(f"--prefix {idle[0]}: no file lies there; they lie in {places}.")
    if outside:
        raise InputError(
            f"--prefix {prefixes[0]}: {outside[0]} lies elsewhere; all files lie in {places}: name "
            "a prefix of all of them, or --prefix again for each place."
        )


def _fixed_folder(pattern: str) -> str:
    """The folder that a pattern names before its first sign."""
    url = as_url(pattern)
    is_there = url.startswith("file://") and os.path.lexists(url.removeprefix("file://"))
    sign = None if is_there else re.search(r"[*?[]", url)
    return (url[: sign.start()] if sign else url).rpartition("/")[0]


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part]


def _common(paths: list[list[str]]) -> list[str]:
    """The parts that all paths begin with."""
    same = itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return [parts[0] for parts in same]


def _without_dates(parts: list[str], is_local: bool) -> list[str]:
    """The folders above those of a date, which change from one append to the next."""
    end = len(parts)
    while is_local and end and _NUMBER.fullmatch(parts[end - 1]) and not _is_dated(parts[end - 1]):
        end -= 1
    dated = [n for n, part in enumerate(parts[:end]) if _is_dated(part)]
    if not dated or (is_local and dated[-1] != end - 1):
        return parts
    first = dated[-1]
    while first and (_is_dated(parts[first - 1]) or _NUMBER.fullmatch(parts[first - 1])):
        first -= 1
    return parts if is_local and not first else parts[:first]


def _is_dated(part: str) -> bool:
    return bool(_YEAR.fullmatch(part) or _DATE.search(part))
