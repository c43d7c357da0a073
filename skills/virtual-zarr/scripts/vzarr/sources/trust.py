"""Which places the user named, and so may be read, with credentials where there are any.

A repository's containers and commits, and files that refer to others, are data: whoever wrote them
chose where they lead. Read is only what lies below a folder that was named on this command line
(sources, ``--trust``), or what this user built or trusted before, which a record outside of all
repositories keeps. Credentials go to the cloud's own endpoint, or to one that the user gave.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import icechunk

from vzarr.errors import InputError
from vzarr.paths import local_path
from vzarr.sources.prefixes import container_prefixes
from vzarr.sources.schemes import Access, Place, as_url, root_of, scheme_of, without_secrets
from vzarr.text import option
from vzarr.upstream.icechunk import s3_options, text_options

STORES = {
    "file": ("LocalFileSystem",),
    "s3": ("S3", "S3Compatible"),
    "gs": ("Gcs",),
    "az": ("Azure",),
    "https": ("Http",),
}
"""Icechunk's kinds of stores that a container of a scheme may have."""


UNSIGNED = ("skip_signature", "google_skip_signature", "azure_skip_signature")
"""The only options beside an account that a container may have: they send less, not elsewhere."""


@dataclass(frozen=True)
class Record:
    """What this user named for one repository: its containers, and the folders of its sources."""

    containers: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()


LISTED = 8
"""Folders that a message lists, at most."""


_written: dict[tuple[Path | None, str], Record] = {}
"""What this process recorded, for machines on which nothing can be kept."""


def naming(access: Access, patterns: Iterable[str] = (), location: str | None = None) -> Access:
    """``access`` with what the user named: the folders of patterns, and those of the record.

    Raises
    ------
    InputError
        If ``access.trust`` holds what is no place.
    """
    folders = []
    for place in access.trust:
        folders.append(_as_folder(place))
        if _comparable(folders[-1], False) is None:
            raise InputError(f"--trust {place}: name a folder, a bucket or a host, without dots.")
    folders += [folder_of(pattern) for pattern in patterns]
    if location is not None:
        folders += _recorded(_key_of(location, access)).folders
    return replace(access, trust=tuple(dict.fromkeys(folders)))


def folder_of(pattern: str) -> str:
    """The folder that a path, a glob or a URL names, as a URL with a slash at its end."""
    url = as_url(pattern).rstrip("/")
    if not (url.startswith("file://") and os.path.lexists(url.removeprefix("file://"))):
        url = re.split(r"[*?\[]", url, maxsplit=1)[0]
    return url.rpartition("/")[0] + "/"


def is_below(url: str, folders: tuple[str, ...], *, resolve: bool = False) -> bool:
    """Whether a URL lies below one of these folders, or is one.

    Hidden files and folders are below a local folder only if it is hidden itself: who names the
    home directory does not name what lies in ``.aws``. ``resolve``: follow symbolic links first.
    """
    place = _comparable(url, resolve)
    if place is None:
        return False
    comparable = _all_comparable(folders, resolve)
    local = place.startswith("file:///")
    host, *names = place.removeprefix("file:///" if local else "").rstrip("/").split("/")
    if local:
        root, names = "file:///", [name for name in (host, *names) if name]
    else:
        root, names = "/".join([host, *names[:2], ""]), names[2:]
    while root + "".join(f"{name}/" for name in names) not in comparable:
        if not names or (names.pop().startswith(".") and local):
            return False
    return True


@lru_cache(maxsize=64)
def _all_comparable(folders: tuple[str, ...], resolve: bool) -> frozenset[str | None]:
    return frozenset(_comparable(_as_folder(folder), resolve) for folder in folders) - {None}


def _comparable(url: str, resolve: bool) -> str | None:
    """A URL as it is compared, with a slash at its end; None if no prefix tells where it leads."""
    scheme, sign, rest = url.partition("://")
    if scheme == "file":
        if not rest.startswith("/") or re.search(r"/(\.|%2e){1,2}(/|$)", rest, re.IGNORECASE):
            return None
        path = os.path.realpath(rest) if resolve else str(local_path(rest))
        return f"file://{path.rstrip('/')}/"
    host, *parts = re.split(r"[/\\]", rest)
    if not sign or not host or any(unquote(part) in (".", "..") for part in parts):
        return None
    host = host.lower().removesuffix(":443") if scheme == "https" else host
    return f"{scheme}://{host}/" + "".join(f"{part}/" for part in parts if part)


def check_sources(urls: Iterable[str], location: str, access: Access) -> None:
    """Refuse a repository whose commits name sources in places that the user did not name.

    Raises
    ------
    InputError
        With the options that trust them.
    """
    folders = (*access.trust, *_recorded(_key_of(location, access)).folders)
    strange = [url for url in urls if not is_below(url, folders) and not _is_beside(url, location)]
    if strange:
        places = places_of(strange)
        raise InputError(
            f"{location}: its commits name sources in places that nobody named here: "
            f"{_listed(places)}. Whoever writes to a repository chooses what its readers read: "
            f"if these are right, add {options_for(places)}."
        )


def places_of(urls: list[str]) -> list[str]:
    """What to name for all of these URLs to be read: their folders, or what these have in common.

    A hidden file has to be named by itself.
    """
    places = {
        url if url.rpartition("/")[2].startswith(".") else url.rpartition("/")[0] + "/"
        for url in urls
    }
    return sorted(places) if len(places) <= LISTED else container_prefixes(sorted(urls))


def authorization(
    config: icechunk.RepositoryConfig | None,
    location: str,
    access: Access,
    made: Iterable[str] = (),
) -> dict[str, Any]:
    """What ``Repository.open`` takes to authorize the containers of a repository.

    ``made``: prefixes of containers that this run makes for files that the user named.

    Raises
    ------
    InputError
        If a container leads to what the user did not name, with the options that trust it.
    """
    key = _key_of(location, access)
    known = _recorded(key).containers
    places = containers_of(config, location)
    strange = [
        place
        for place in places
        if place.prefix not in made
        and _name_of(place) not in known
        and not _is_named(place, location, access)
    ]
    if strange:
        options = options_for([place.prefix for place in strange])
        for name, given in (
            ("--endpoint", {place.endpoint for place in strange if place.endpoint}),
            ("--account", {place.account for place in strange if place.account}),
        ):
            options += "".join(f" {option(name, value)}" for value in sorted(given))
        raise InputError(
            f"{location}: its containers lead to places that nobody named here: "
            f"{_listed(map(_name_of, strange))}. Whoever writes to a repository chooses where its "
            f"readers' credentials go: if these are right, add {options}."
        )
    _remember(key, Record(frozenset(map(_name_of, places)), access.trust))
    return {
        place.prefix: scheme_of(place.prefix).credentials(
            place.prefix, replace(access, containers=(place,)).at(place.prefix)
        )
        for place in places
    }


def reaching(access: Access, config: icechunk.RepositoryConfig | None, location: str) -> Access:
    """``access`` that reaches sources as a repository's containers do, which were authorized."""
    return replace(access, containers=tuple(containers_of(config, location)))


def containers_of(config: icechunk.RepositoryConfig | None, location: str) -> list[Place]:
    """Where a repository's containers lead.

    Raises
    ------
    InputError
        For a container whose options this tool does not know: proxies, headers, other addresses.
    """
    containers = (config and config.virtual_chunk_containers) or {}
    return [_place(container, location) for _, container in sorted(containers.items())]


def _place(container: icechunk.VirtualChunkContainer, location: str) -> Place:
    prefix, kind = container.url_prefix, type(container.store).__name__
    shown = without_secrets(prefix)
    scheme = prefix.partition("://")[0]
    if kind not in STORES.get(scheme, ()) or _comparable(prefix, False) is None:
        raise InputError(
            f"{location}: its container {shown} is of a kind that this tool does not read. Open it "
            "by hand, as in references/storage.md, if you trust it."
        )
    as_url(prefix)
    if scheme == "file":
        return Place(prefix)
    if scheme == "s3":
        options = s3_options(container)
        region = options.region
        if region is None or re.fullmatch("[a-z0-9-]+", region):
            return Place(prefix, options.endpoint_url, region, None, options.anonymous)
        strange = ["region"]
    else:
        given = text_options(container)
        account = given.pop("account", None) if scheme == "az" else None
        unsigned = "true" in [given.pop(name, "").lower() for name in UNSIGNED]
        if not given and (account is None or re.fullmatch("[a-z0-9]{3,24}", account)):
            return Place(prefix, None, None, account, unsigned)
        strange = sorted(given) or ["account"]
    raise InputError(
        f"{location}: its container {shown} sets {', '.join(strange)}, with which requests and "
        "credentials go elsewhere than to the cloud. Open it by hand, as in "
        "references/storage.md, if you trust it."
    )


def _is_named(place: Place, location: str, access: Access) -> bool:
    if place.endpoint is not None and _endpoint(place.endpoint) not in {
        _endpoint(given) for given in access.endpoints
    }:
        return False
    if place.account is not None and place.account != access.known_account:
        return False
    return (
        is_below(place.prefix, access.trust)
        or _is_beside(place.prefix, location)
        or place.prefix in _archives(access.trust)
    )


@lru_cache(maxsize=64)
def _archives(folders: tuple[str, ...]) -> frozenset[str]:
    """The prefixes that the tool itself would choose for remote files in these folders.

    It leaves out folders of dates, so whoever names the files of a day names the archive's.
    """
    remote = (folder for folder in folders if not folder.startswith("file://"))
    return frozenset(prefix for folder in remote for prefix in container_prefixes([f"{folder}-"]))


def _is_beside(url: str, location: str) -> bool:
    """Whether a URL is of the bucket that the user named with ``--repo``."""
    repository = as_url(location)
    if repository.startswith("file://"):
        return False
    return is_below(url, (root_of(repository) + "/",))


def _endpoint(url: str) -> str:
    return url.rstrip("/").lower()


def _name_of(place: Place) -> str:
    """A container as messages and the record name it."""
    endpoint = f" at {place.endpoint}" if place.endpoint else ""
    account = f" of the account {place.account}" if place.account else ""
    return f"{place.prefix}{endpoint}{account}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(without_secrets(name) for name in names)


def options_for(prefixes: Iterable[str]) -> str:
    """The options that trust these places, as they are typed."""
    return " ".join(option("--trust", without_secrets(prefix)) for prefix in prefixes)


def place_of(location: str, access: Access) -> tuple[str, str]:
    """A repository's URL, links followed, and the server or the account that it lies on."""
    url = as_url(location).rstrip("/")
    if url.startswith("file://"):
        return f"file://{os.path.realpath(url.removeprefix('file://'))}", ""
    server = {"s3": access.repository_endpoint, "az": access.of_repository.known_account}
    return url, server.get(url.partition("://")[0]) or ""


def _key_of(location: str, access: Access) -> str:
    """A repository as the record names it."""
    return " ".join(place_of(location, access)).rstrip()


def state_folder() -> Path | None:
    """Where this machine keeps what users said, outside of any repository; None without a home."""
    try:
        home = Path.home()
    except RuntimeError:
        home = None
    if chosen := os.environ.get("XDG_STATE_HOME"):
        base: Path | None = Path(chosen)
    elif sys.platform == "win32":
        base = Path(os.environ["LOCALAPPDATA"]) if os.environ.get("LOCALAPPDATA") else home
    elif sys.platform == "darwin":
        base = home and home / "Library" / "Application Support"
    else:
        base = home and home / ".local" / "state"
    return base and base / "virtual-zarr" / "trusted"


def _file_of(key: str) -> Path | None:
    folder = state_folder()
    return folder and folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"


def _recorded(key: str) -> Record:
    path = _file_of(key)
    mine = _written.get((path, key), Record())
    stored: Mapping[str, Any] = {}
    with suppress(OSError, ValueError):
        read = json.loads(path.read_text()) if path else {}
        stored = read if isinstance(read, dict) and read.get("repository") == key else {}
    containers = {name for name in stored.get("containers", ()) if isinstance(name, str)}
    folders = [name for name in stored.get("folders", ()) if isinstance(name, str)]
    return Record(mine.containers | containers, tuple(dict.fromkeys([*folders, *mine.folders])))


def _remember(key: str, more: Record) -> None:
    """Add to the record; where nothing can be kept, this process alone remembers."""
    before = _recorded(key)
    folders = tuple(dict.fromkeys([*before.folders, *more.folders]))
    after = Record(before.containers | more.containers, folders)
    path = _file_of(key)
    _written[path, key] = after
    if path is None or (after == before and path.exists()):
        return
    stored = {
        "repository": key,
        "containers": sorted(after.containers),
        "folders": list(after.folders),
    }
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=path.parent)  # which nobody else can read
        with os.fdopen(handle, "w") as file:
            json.dump(stored, file, indent=1)
        os.replace(name, path)


def trust_copy(location: str, access: Access, new: str, new_access: Access) -> None:
    """Trust a repository's copy as far as the repository: it holds the same, byte for byte."""
    record = _recorded(_key_of(location, access))
    if record.containers or record.folders:
        _remember(_key_of(new, new_access), record)


def _as_folder(place: str) -> str:
    url = as_url(place)
    return url if url.endswith("/") else f"{url}/"
